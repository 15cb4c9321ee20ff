"""A cycle on a rented host, for real: asked for by a person, run behind sshd, and given back."""

from __future__ import annotations

import json
import os
import pwd
import sys
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows.deployment_names import PROJECT
from flows.provision_gpu import NOTHING_CREATED, rent
from flows.rental.config import RentConfig
from flows.rental.plan import plan
from tasks.common import atomic_files, hashing
from tasks.gpu_hosts import remote_scripts
from tasks.gpu_hosts.host_interface import NothingCreatedError
from tasks.gpu_hosts.ssh import Connection, SshSettings
from tasks.records import cost_ledger
from tasks.runtimes.base import ENTRYPOINTS_VARIABLE
from tests.support import offline_bundles, prefect_site, remote_flows, rental_process, secret_search
from tests.support.brev_stub import Brev, all_leases, outcomes
from tests.support.rentals import (
    ask,
    environment,
    hold_training,
    nothing_left,
    parameters,
    resume,
    started,
)

if TYPE_CHECKING:
    from asr_flywheel.site.local_site import Site
    from tests.support.loopback_ssh import Loopback


pytestmark = pytest.mark.usefixtures("at_rental_site")


def test_yes_rents_runs_fetches_verifies_and_gives_back(
    rental_site: Site, own_host: Loopback, fresh_cycle: Path, tmp_path: Path
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
        "--host": own_host.ssh["destination"],
        "--port": own_host.port,
        "--identity": own_host.ssh["identity"],
        "--known-hosts": own_host.ssh["known_hosts"],
        "--folder": own_host.settings["folder"],
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
    shell = {**environment(rental_site, tmp_path), **planted}
    with secret_search.watched_processes() as seen:
        renting = rental_process.start(line, shell, tmp_path / "log")
        try:
            renting.type("YES\n")
            trained = own_host.folder / "disk"
            hold = hold_training(trained)
            (env,) = trained.glob("*/env")
            for secret in planted.values():
                assert secret_search.files_with(secret, trained) == [env]
            assert env.stat().st_mode & 0o777 == 0o600
            own_host.drop()
            hold.unlink()
            assert renting.ends(900) == 0, renting.said
        finally:
            renting.kill()
    assert "1.50 $ an hour" in renting.said
    assert "36.00 $ by the next day, 252.00 $ in a week" in renting.said
    assert "is back" in renting.said
    nothing_left(own_host, cycle)
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
    run = prefect_site.call(rental_site, "GET", f"flow_runs/{entry.run}")
    assert run["state"]["name"] == "Completed"
    workers = prefect_site.call(rental_site, "POST", "work_pools/gpu/workers/filter")
    assert f"rented-{record['rented']['lease']}" in {one["name"] for one in workers}
    assert any("rsync" in one for one in seen), "the process list was not watched"
    home = Path(rental_site.environment["PREFECT_HOME"])
    assert list(home.rglob("*.db")), "there is no database to look into"
    for secret in planted.values():
        assert not any(secret in one for one in seen)
        assert secret not in json.dumps(prefect_site.call(rental_site, "POST", "artifacts/filter"))
        assert secret not in "\n".join(prefect_site.log(rental_site, entry.run))
        # The clinic's folder, the records, what was printed; the host's files and the server's.
        assert secret_search.files_with(secret, tmp_path, home) == []


def test_without_a_person_nothing_is_called(
    rental_site: Site, fresh_cycle: Path, tmp_path: Path
) -> None:
    """No terminal, no YES: neither brev nor ssh nor rsync is started, and nothing is recorded."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("brev", "ssh", "rsync"):
        (tools / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tools}/calls\n')
        (tools / name).chmod(0o755)
    shell = environment(rental_site, tmp_path)
    shell["PATH"] = f"{tools}:{shell['PATH']}"
    line = [sys.executable, "-m", "asr_flywheel.cli", "rent", str(fresh_cycle), "--base=embedded"]
    renting = rental_process.start(line, shell, tmp_path / "log", tty=False)
    assert renting.ends() == 1
    renting.kill()
    assert NOTHING_CREATED in renting.said
    assert not (tools / "calls").exists()
    assert not (tmp_path / "state").exists()
    assert not (fresh_cycle.parent / "cost_ledger.jsonl").exists()


def test_in_the_ui_only_yes_rents_and_a_cancelled_run_gives_the_host_back(
    rental_site: Site, own_host: Loopback, fresh_cycle: Path, tmp_path: Path
) -> None:
    """An empty resume is refused, `yes` cancels, YES rents; cancelling then ends all of it."""
    config = parameters(fresh_cycle, own_host, "sleeper")
    run = ask(rental_site, config)
    assert resume(rental_site, run)["status"] == "REJECT"
    assert resume(rental_site, run, answer="yes")["status"] == "ACCEPT"
    prefect_site.ends(rental_site, run, "Cancelled")
    assert list((own_host.folder / "disk").iterdir()) == []
    assert outcomes(fresh_cycle) == []
    run = ask(rental_site, config)
    resume(rental_site, run, answer="YES")
    prefect_site.wait_for(lambda: started(own_host), 240)
    wanted = {"type": "CANCELLING", "name": "Cancelling"}
    prefect_site.call(rental_site, "POST", f"flow_runs/{run}/set_state", state=wanted)
    prefect_site.ends(rental_site, run, "Cancelled")
    prefect_site.wait_for(lambda: not list((own_host.folder / "disk").iterdir()), 60)
    prefect_site.wait_for(lambda: not all_leases(), 30)
    nothing_left(own_host, fresh_cycle)
    assert outcomes(fresh_cycle)[-1] in {"cancelled", "reaped"}


def test_a_host_without_the_bundles_python_is_left_alone(
    own_host: Loopback, fresh_cycle: Path, tmp_path: Path
) -> None:
    """It is asked before anything is begun there: nothing is sent, and no record stays."""
    bundle = offline_bundles.write_project_bundle(tmp_path / "made", "", python="3.12")
    more = {"bundle": [bundle / "part-1", *bundle.glob("part-[2-9]")]}
    config = RentConfig.model_validate(parameters(fresh_cycle, own_host, "finisher", **more))
    with pytest.raises(NothingCreatedError, match=r"has no Python 3\.12 .* is 3\.1[01]"):
        rent(config, plan(config))
    nothing_left(own_host, fresh_cycle)
    assert outcomes(fresh_cycle) == ["not-created"]


def test_a_brev_host_from_creation_to_deletion(
    own_host: Loopback,
    fresh_cycle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Brev's stand-in creates; the host behind it is real, and its results come back.

    An offline bundle brings the environment. The connection breaks while it is installed.
    """
    brev = Brev(tmp_path / "brev", monkeypatch)
    brev.goes(ssh=own_host.as_brev_writes)
    bundle = offline_bundles.write_project_bundle(tmp_path, sysconfig.get_path("purelib"))
    more = {"reach_s": 60, "patience_s": 10, "bundle": [bundle], "upload_mbit": 100}
    own = {**parameters(fresh_cycle, own_host, "finisher", **more), "host": {}}
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
        own_host.drop()

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
    Connection(SshSettings.model_validate(own_host.ssh)).check(
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
