"""A cycle on a rented host, for real: a site, a worker on a host behind sshd, and every bad end."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import sys
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.deployment_names import PROJECT
from flows.provision_gpu import NOTHING_CREATED, rent
from flows.rental import host_release
from flows.rental.config import RentConfig
from flows.rental.plan import plan
from tasks.common import atomic_files, hashing
from tasks.common.errors import FlywheelError
from tasks.gpu_hosts import remote_scripts
from tasks.gpu_hosts.host_interface import NothingCreatedError
from tasks.gpu_hosts.ssh import Connection, HostError, SshSettings
from tasks.records import cost_ledger
from tasks.runtimes.base import ENTRYPOINTS_VARIABLE
from tests.support import (
    loopback_ssh,
    offline_bundles,
    prefect_site,
    remote_flows,
    rental_process,
    secret_search,
    stub_programs,
)
from tests.support.brev_stub import Brev, all_leases, outcomes
from tests.support.loopback_ssh import Loopback, program
from tests.support.needs import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asr_flywheel.site.local_site import Site

SECRET = "planted-secret-0815"  # noqa: S105 - planted, to be looked for


@pytest.fixture(scope="module")
def prepared(site: Site) -> Site:
    """The site, with the runs that stand in for a cycle's."""
    program()
    remote_flows.deploy(site)
    return site


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Loopback]:
    """A host of the test's own: some of them lose it."""
    folder = tmp_path / "host"
    folder.mkdir()
    with loopback_ssh.running(folder) as found:
        yield found


@pytest.fixture(autouse=True)
def here(prepared: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process talks to the site; the host's worker finds the tests' runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("PLANTED", SECRET)
    with temporary_settings({PREFECT_API_URL: f"{prepared.url}/api"}):
        yield


def parameters(cycle: Path, host: Loopback, run: str, **more: Any) -> dict[str, Any]:
    """A rental of the loopback host, impatient."""
    return {
        "run": prefect_site.quick(cycle),
        "host": host.settings,
        "gpu_required": False,
        "need_gib": 0.5,
        "deployment": f"{run}/{run}",
        "pass_on": ["PYTHONPATH", "PLANTED"],
        "patience_s": 1,
        **more,
    }


def environment(site: Site, tmp_path: Path) -> dict[str, str]:
    """Of a person's shell at this site."""
    return {
        **site.environment,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PREFECT_API_AUTH_STRING": f"clinic:{SECRET}",
    }


def started(host: Loopback) -> bool:
    """Whether the stand-in run works on the host."""
    return any((host.folder / "disk").glob("*/*/cycle1/started.json"))


def works(pid: int) -> bool:
    """Whether a process lives; one that nobody has buried yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def hold_training(disk: Path) -> Path:
    """Keep a run on a host at its training; the file that does so until it is removed."""
    prefect_site.wait_for(lambda: any(disk.glob("*/*/cycle1/audio")), 120)
    (cycle,) = disk.glob("*/*/cycle1")
    flag = cycle / stub_programs.HOLD_TRAINING
    flag.touch()
    prefect_site.wait_for(lambda: any(cycle.glob("models/.*.work/events.jsonl")), 240)
    return flag


def nothing_left(host: Loopback, cycle: Path) -> None:
    """The host was given back: no file, no record, no hidden folder beside the cycle."""
    assert list((host.folder / "disk").iterdir()) == []
    assert all_leases() == []
    assert not list(cycle.parent.glob(".rented-*"))


def test_yes_rents_runs_fetches_verifies_and_gives_back(
    prepared: Site, host: Loopback, fresh_cycle: Path, tmp_path: Path
) -> None:
    """A whole cycle, trained on the host, through a connection that breaks in between.

    The host's worker gets the setting by which its runs run the stub, as it gets the token.
    The secrets that the worker needs are on no command line in all that time; afterwards they are
    in no file, neither here nor of the server.
    """
    # Of this test alone: others pass theirs on in a run's variables, which the server keeps.
    planted = {"PREFECT_API_AUTH_STRING": "clinic:planted-4711", "HF_TOKEN": "hf_planted_4711"}
    cycle = fresh_cycle
    manifest = (cycle / "manifest.jsonl").read_bytes()
    options = {
        "--provider": "ssh",
        "--host": host.ssh["destination"],
        "--port": host.port,
        "--identity": host.ssh["identity"],
        "--known-hosts": host.ssh["known_hosts"],
        "--folder": host.settings["folder"],
        "--python": sys.executable,
        "--usd-per-hour": 1.5,
        "--pass-on": "HF_TOKEN",
        "--need-gib": 1,
        "--base": "embedded",
        "--epochs": 1,
        "--runtime": "local",
    }
    line = [sys.executable, "-m", "asr_flywheel.cli", "rent", str(cycle), "--no-gpu-required"]
    line += [str(part) for pair in options.items() for part in pair]
    line += ["--pass-on", ENTRYPOINTS_VARIABLE]
    shell = {**environment(prepared, tmp_path), **planted}
    with secret_search.watched_processes() as seen:
        renting = rental_process.start(line, shell, tmp_path / "log")
        try:
            renting.type("YES\n")
            trained = host.folder / "disk"
            hold = hold_training(trained)
            (env,) = trained.glob("*/env")
            for secret in planted.values():
                assert secret_search.files_with(secret, trained) == [env]
            assert env.stat().st_mode & 0o777 == 0o600
            host.drop()
            hold.unlink()
            assert renting.ends(900) == 0, renting.said
        finally:
            renting.kill()
    assert "1.50 $ an hour" in renting.said
    assert "36.00 $ by the next day, 252.00 $ in a week" in renting.said
    assert "is back" in renting.said
    nothing_left(host, cycle)
    (entry,) = cost_ledger.read(cycle.parent).entries
    assert (entry.outcome.value, entry.provider, entry.cycle) == ("completed", "ssh", 1)
    assert entry.usd == pytest.approx(entry.seconds * 1.5 / 3600, abs=1e-3)
    record = atomic_files.read_json(cycle.parent / "cycle2" / "run.json")
    for name, sha256 in record["files"].items():
        assert hashing.sha256_file(cycle.parent / "cycle2" / name) == sha256
    model = Path(record["sft"]["model"])
    assert model.is_relative_to(cycle)
    assert hashing.sha256_file(model) == record["sft"]["model_sha256"]
    assert record["rented"]["flow_run"] == entry.run
    assert (cycle / "manifest.jsonl").read_bytes() == manifest
    run = prefect_site.call(prepared, "GET", f"flow_runs/{entry.run}")
    assert run["state"]["name"] == "Completed"
    workers = prefect_site.call(prepared, "POST", "work_pools/gpu/workers/filter")
    assert f"rented-{record['rented']['lease']}" in {one["name"] for one in workers}
    assert any("rsync" in one for one in seen), "the process list was not watched"
    home = Path(prepared.environment["PREFECT_HOME"])
    assert list(home.rglob("*.db")), "there is no database to look into"
    for secret in planted.values():
        assert not any(secret in one for one in seen)
        assert secret not in json.dumps(prefect_site.call(prepared, "POST", "artifacts/filter"))
        assert secret not in "\n".join(prefect_site.log(prepared, entry.run))
        # The clinic's folder, the records, what was printed; the host's files and the server's.
        assert secret_search.files_with(secret, tmp_path, home) == []


def test_without_a_person_nothing_is_called(
    prepared: Site, fresh_cycle: Path, tmp_path: Path
) -> None:
    """No terminal, no YES: neither brev nor ssh nor rsync is started, and nothing is recorded."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("brev", "ssh", "rsync"):
        (tools / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tools}/calls\n')
        (tools / name).chmod(0o755)
    shell = environment(prepared, tmp_path)
    shell["PATH"] = f"{tools}:{shell['PATH']}"
    line = [sys.executable, "-m", "asr_flywheel.cli", "rent", str(fresh_cycle), "--base=embedded"]
    renting = rental_process.start(line, shell, tmp_path / "log", tty=False)
    assert renting.ends() == 1
    renting.kill()
    assert NOTHING_CREATED in renting.said
    assert not (tools / "calls").exists()
    assert not (tmp_path / "state").exists()
    assert not (fresh_cycle.parent / "cost_ledger.jsonl").exists()


def ask(site: Site, config: dict[str, Any]) -> str:
    """Start the deployment; the run's id, once it waits for an answer."""
    names = ("XDG_STATE_HOME", "PYTHONPATH", "PLANTED")
    variables = {"env": {name: os.environ[name] for name in names}}
    deployment = prefect_site.call(site, "GET", "deployments/name/provision-gpu/provision-gpu")
    path = f"deployments/{deployment['id']}/create_flow_run"
    made = prefect_site.call(
        site, "POST", path, parameters={"config": config}, job_variables=variables
    )
    prefect_site.wait_for(lambda: prefect_site.state(site, made["id"]) == "Paused", 180)
    return str(made["id"])


def resume(site: Site, run: str, **answer: str) -> Any:
    """What the form of a paused run sends."""
    return prefect_site.call(site, "POST", f"flow_runs/{run}/resume", run_input=answer)


def test_in_the_ui_only_yes_rents_and_a_cancelled_run_gives_the_host_back(
    prepared: Site, host: Loopback, fresh_cycle: Path, tmp_path: Path
) -> None:
    """An empty resume is refused, `yes` cancels, YES rents; cancelling then ends all of it."""
    config = parameters(fresh_cycle, host, "sleeper")
    run = ask(prepared, config)
    assert resume(prepared, run)["status"] == "REJECT"
    assert resume(prepared, run, answer="yes")["status"] == "ACCEPT"
    prefect_site.ends(prepared, run, "Cancelled")
    assert list((host.folder / "disk").iterdir()) == []
    assert outcomes(fresh_cycle) == []
    run = ask(prepared, config)
    resume(prepared, run, answer="YES")
    prefect_site.wait_for(lambda: started(host), 240)
    wanted = {"type": "CANCELLING", "name": "Cancelling"}
    prefect_site.call(prepared, "POST", f"flow_runs/{run}/set_state", state=wanted)
    prefect_site.ends(prepared, run, "Cancelled")
    prefect_site.wait_for(lambda: not list((host.folder / "disk").iterdir()), 60)
    prefect_site.wait_for(lambda: not all_leases(), 30)
    nothing_left(host, fresh_cycle)
    assert outcomes(fresh_cycle)[-1] in {"cancelled", "reaped"}


def test_the_connection_is_lost_for_good_in_mid_run(
    prepared: Site, host: Loopback, fresh_cycle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The alarm names the host, its record stays, and once it is reachable it is given back."""
    config = RentConfig.model_validate(parameters(fresh_cycle, host, "sleeper"))
    planned = plan(config)

    def cut() -> None:
        prefect_site.wait_for(lambda: started(host), 240)
        host.kill()

    cutter = threading.Thread(target=cut)
    cutter.start()
    with pytest.raises(HostError, match="HOST STILL OUT") as raised:
        rent(config, planned)
    cutter.join()
    assert "not reachable for 1 s in mid-run" in str(raised.value.__context__)
    name = host.ssh["destination"]
    assert f"HOST STILL OUT: {name}" in capfd.readouterr().err
    (left,) = all_leases()
    still_out = {"event": {"name": ["asr-flywheel.host.still-out"]}}

    def events() -> list[dict[str, Any]]:
        return list(
            prefect_site.call(prepared, "POST", "events/filter", filter=still_out)["events"]
        )

    prefect_site.wait_for(events)
    assert [one["resource"]["prefect.resource.name"] for one in events()] == [name]
    told = prefect_site.call(prepared, "POST", "artifacts/latest/filter")
    (alarm,) = [one for one in told if one["key"] == f"host-still-out-{left.lease}"]
    assert name in alarm["data"]
    with pytest.raises(FlywheelError, match=f"HOST STILL OUT: {name}"):
        host_release.release_abandoned_hosts()
    host.start()
    assert host_release.release_abandoned_hosts() == [name]
    nothing_left(host, fresh_cycle)
    assert outcomes(fresh_cycle) == ["not-given-back", "not-given-back", "reaped"]
    assert prefect_site.state(prepared, left.run) == "Cancelled"


def test_a_killed_flow_is_found_by_the_next_one(
    prepared: Site, host: Loopback, fresh_cycle: Path, tmp_path: Path
) -> None:
    """Killed with SIGKILL in mid-run: the host goes on, until the next start gives it back."""
    shell = {**environment(prepared, tmp_path), "PYTHONPATH": str(PROJECT), "PLANTED": SECRET}
    config = parameters(fresh_cycle, host, "sleeper")
    renting = rental_process.flow(config, shell, tmp_path / "log")
    try:
        renting.type("YES\n")
        prefect_site.wait_for(lambda: started(host), 240)
    finally:
        renting.kill()
    (mark,) = (host.folder / "disk").glob("*/*/cycle1/started.json")
    pid = json.loads(mark.read_text())["pid"]
    assert works(pid)
    (left,) = all_leases()
    assert host_release.release_abandoned_hosts() == [host.ssh["destination"]]
    assert not works(pid)
    nothing_left(host, fresh_cycle)
    assert outcomes(fresh_cycle) == ["reaped"]
    assert prefect_site.state(prepared, left.run) == "Cancelled"


def test_a_run_that_the_worker_loses_gives_the_host_back(
    prepared: Site, host: Loopback, fresh_cycle: Path
) -> None:
    """Its process is killed; the hook of the crash gives the host back, no later start does."""
    run = ask(prepared, parameters(fresh_cycle, host, "sleeper"))
    resume(prepared, run, answer="YES")
    prefect_site.wait_for(lambda: started(host), 240)
    process = prefect_site.call(prepared, "GET", f"flow_runs/{run}")["infrastructure_pid"]
    os.kill(int(process.rpartition(":")[2]), signal.SIGKILL)
    prefect_site.ends(prepared, run, "Crashed")
    prefect_site.wait_for(lambda: not all_leases(), 60)
    nothing_left(host, fresh_cycle)
    assert outcomes(fresh_cycle) == ["reaped"]


def test_ctrl_c_gives_the_host_back(
    prepared: Site, host: Loopback, fresh_cycle: Path, tmp_path: Path
) -> None:
    """At the terminal that rents, in mid-run: connections and all hear it, and the host goes."""
    shell = {**environment(prepared, tmp_path), "PYTHONPATH": str(PROJECT), "PLANTED": SECRET}
    renting = rental_process.flow(parameters(fresh_cycle, host, "sleeper"), shell, tmp_path / "log")
    try:
        renting.type("YES\n")
        prefect_site.wait_for(lambda: started(host), 240)
        renting.interrupt()
        assert renting.ends(120) != 0
    finally:
        renting.kill()
    nothing_left(host, fresh_cycle)
    assert outcomes(fresh_cycle) == ["cancelled"], renting.said


@pytest.mark.parametrize(
    ("run", "more", "said"),
    [
        ("failer", {}, "training broke on"),
        ("liar", {}, "adapted_model.nemo: is not what the run wrote"),
        ("finisher", {"gpu_required": True}, "nvidia-smi finds no GPU"),
    ],
)
def test_every_failure_gives_the_host_back(
    host: Loopback, fresh_cycle: Path, run: str, more: dict[str, Any], said: str
) -> None:
    """The run fails, the results are not what was recorded, the host lacks a GPU."""
    if run == "finisher":
        require("no-gpu")
    config = RentConfig.model_validate(parameters(fresh_cycle, host, run, **more))
    before = {path.name for path in fresh_cycle.iterdir()}
    with pytest.raises(HostError, match=said):
        rent(config, plan(config))
    kept = list(fresh_cycle.parent.glob(".rented-*"))
    assert len(kept) == (run == "liar"), "what has arrived of a run is kept, and only that"
    for folder in kept:
        shutil.rmtree(folder)
    nothing_left(host, fresh_cycle)
    assert outcomes(fresh_cycle) == ["failed"]
    assert {path.name for path in fresh_cycle.iterdir()} == before
    assert not (fresh_cycle.parent / "cycle2").exists()


def test_a_host_without_the_bundles_python_is_left_alone(
    host: Loopback, fresh_cycle: Path, tmp_path: Path
) -> None:
    """It is asked before anything is begun there: nothing is sent, and no record stays."""
    bundle = offline_bundles.write_project_bundle(tmp_path / "made", "", python="3.12")
    more = {"bundle": [bundle / "part-1", *bundle.glob("part-[2-9]")]}
    config = RentConfig.model_validate(parameters(fresh_cycle, host, "finisher", **more))
    with pytest.raises(NothingCreatedError, match=r"has no Python 3\.12 .* is 3\.1[01]"):
        rent(config, plan(config))
    nothing_left(host, fresh_cycle)
    assert outcomes(fresh_cycle) == ["not-created"]


def test_a_brev_host_from_creation_to_deletion(
    host: Loopback,
    fresh_cycle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Brev's stand-in creates; the host behind it is real, and its results come back.

    An offline bundle brings the environment. The connection breaks while it is installed.
    """
    brev = Brev(tmp_path / "brev", monkeypatch)
    brev.goes(ssh=host.as_brev_writes)
    bundle = offline_bundles.write_project_bundle(tmp_path, sysconfig.get_path("purelib"))
    more = {"reach_s": 60, "patience_s": 10, "bundle": [bundle], "upload_mbit": 100}
    own = {**parameters(fresh_cycle, host, "finisher", **more), "host": {}}
    # The tests' runs are of the checkout; the project is the bundle's.
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "tests").symlink_to(PROJECT / "tests")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "alone"))
    config = brev.config(fresh_cycle, **own)
    planned = plan(config)
    assert planned.bundle is not None
    assert any("included above" in line for line in planned.lines())
    place = Path(pwd.getpwuid(os.getuid()).pw_dir) / "asr-flywheel"

    def cut() -> None:
        prefect_site.wait_for(lambda: any(place.glob("*/environment/releases/*/venv")), 240)
        host.drop()

    cutter = threading.Thread(target=cut)
    cutter.start()
    ended = rent(config, planned)
    cutter.join()
    record = atomic_files.read_json(fresh_cycle.parent / "cycle2" / "run.json")
    assert record["rented"]["bundle"] == planned.bundle.content.bundle
    assert record["environment"].endswith("/environment/current/venv")
    assert "bundle: part 2 of" in (said := capfd.readouterr().out)
    assert "without an index" in said
    # What its deletion does to a real instance.
    Connection(SshSettings.model_validate(host.ssh)).check(
        remote_scripts.end("asr-flywheel", record["rented"]["lease"])
    )
    assert ended.outcome.value == "completed"
    assert (fresh_cycle / "models" / remote_flows.RUN / "adapted_model.nemo").is_file()
    assert record["rented"]["provider"] == "brev"
    assert record["config"]["cycle"] == str(fresh_cycle)
    assert brev.commands == [
        "ls orgs",
        "search",
        "create",
        "ls",
        "refresh",
        "ls orgs",
        "ls",
        "delete",
        "ls",
    ]
    assert brev.instances == {}
    assert all_leases() == []
    assert outcomes(fresh_cycle) == ["completed"]
