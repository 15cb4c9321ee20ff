"""Rentals that end badly, for real: the host is given back, or the alarm names it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from flows.deployment_names import PROJECT
from flows.provision_gpu import rent
from flows.rental import host_release
from flows.rental.config import RentConfig
from flows.rental.plan import plan
from tasks.common.errors import FlywheelError
from tasks.gpu_hosts.ssh import HostError
from tests.support import prefect_site, rental_process
from tests.support.brev_stub import all_leases, outcomes
from tests.support.needs import require
from tests.support.rentals import (
    SECRET,
    ask,
    environment,
    nothing_left,
    parameters,
    resume,
    started,
    works,
)

if TYPE_CHECKING:
    from pathlib import Path

    from asr_flywheel.site.local_site import Site
    from tests.support.loopback_ssh import Loopback

pytestmark = pytest.mark.usefixtures("at_rental_site")


def test_the_connection_is_lost_for_good_in_mid_run(
    rental_site: Site, own_host: Loopback, fresh_cycle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The alarm names the host, its record stays, and once it is reachable it is given back."""
    config = RentConfig.model_validate(parameters(fresh_cycle, own_host, "sleeper"))
    planned = plan(config)

    def cut() -> None:
        prefect_site.wait_for(lambda: started(own_host), 240)
        own_host.kill()

    cutter = threading.Thread(target=cut)
    cutter.start()
    with pytest.raises(HostError, match="HOST STILL OUT") as raised:
        rent(config, planned)
    cutter.join()
    assert "not reachable for 1 s in mid-run" in str(raised.value.__context__)
    name = own_host.ssh["destination"]
    assert f"HOST STILL OUT: {name}" in capfd.readouterr().err
    (left,) = all_leases()
    still_out = {"event": {"name": ["asr-flywheel.host.still-out"]}}

    def events() -> list[dict[str, Any]]:
        return list(
            prefect_site.call(rental_site, "POST", "events/filter", filter=still_out)["events"]
        )

    prefect_site.wait_for(events)
    assert [one["resource"]["prefect.resource.name"] for one in events()] == [name]
    told = prefect_site.call(rental_site, "POST", "artifacts/latest/filter")
    (alarm,) = [one for one in told if one["key"] == f"host-still-out-{left.lease}"]
    assert name in alarm["data"]
    with pytest.raises(FlywheelError, match=f"HOST STILL OUT: {name}"):
        host_release.release_abandoned_hosts()
    own_host.start()
    assert host_release.release_abandoned_hosts() == [name]
    nothing_left(own_host, fresh_cycle)
    assert outcomes(fresh_cycle) == ["not-given-back", "not-given-back", "reaped"]
    assert prefect_site.state(rental_site, left.run) == "Cancelled"


def test_a_killed_flow_is_found_by_the_next_one(
    rental_site: Site, own_host: Loopback, fresh_cycle: Path, tmp_path: Path
) -> None:
    """Killed with SIGKILL in mid-run: the host goes on, until the next start gives it back."""
    shell = {**environment(rental_site, tmp_path), "PYTHONPATH": str(PROJECT), "PLANTED": SECRET}
    config = parameters(fresh_cycle, own_host, "sleeper")
    renting = rental_process.flow(config, shell, tmp_path / "log")
    try:
        renting.type("YES\n")
        prefect_site.wait_for(lambda: started(own_host), 240)
    finally:
        renting.kill()
    (mark,) = (own_host.folder / "disk").glob("*/*/cycle1/started.json")
    pid = json.loads(mark.read_text())["pid"]
    assert works(pid)
    (left,) = all_leases()
    assert host_release.release_abandoned_hosts() == [own_host.ssh["destination"]]
    assert not works(pid)
    nothing_left(own_host, fresh_cycle)
    assert outcomes(fresh_cycle) == ["reaped"]
    assert prefect_site.state(rental_site, left.run) == "Cancelled"


def test_a_run_that_the_worker_loses_gives_the_host_back(
    rental_site: Site, own_host: Loopback, fresh_cycle: Path
) -> None:
    """Its process is killed; the hook of the crash gives the host back, no later start does."""
    run = ask(rental_site, parameters(fresh_cycle, own_host, "sleeper"))
    resume(rental_site, run, answer="YES")
    prefect_site.wait_for(lambda: started(own_host), 240)
    process = prefect_site.call(rental_site, "GET", f"flow_runs/{run}")["infrastructure_pid"]
    os.kill(int(process.rpartition(":")[2]), signal.SIGKILL)
    prefect_site.ends(rental_site, run, "Crashed")
    prefect_site.wait_for(lambda: not all_leases(), 60)
    nothing_left(own_host, fresh_cycle)
    assert outcomes(fresh_cycle) == ["reaped"]


def test_ctrl_c_gives_the_host_back(
    rental_site: Site, own_host: Loopback, fresh_cycle: Path, tmp_path: Path
) -> None:
    """At the terminal that rents, in mid-run: connections and all hear it, and the host goes."""
    shell = {**environment(rental_site, tmp_path), "PYTHONPATH": str(PROJECT), "PLANTED": SECRET}
    renting = rental_process.flow(
        parameters(fresh_cycle, own_host, "sleeper"), shell, tmp_path / "log"
    )
    try:
        renting.type("YES\n")
        prefect_site.wait_for(lambda: started(own_host), 240)
        renting.interrupt()
        assert renting.ends(120) != 0
    finally:
        renting.kill()
    nothing_left(own_host, fresh_cycle)
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
    own_host: Loopback, fresh_cycle: Path, run: str, more: dict[str, Any], said: str
) -> None:
    """The run fails, the results are not what was recorded, the host lacks a GPU."""
    if run == "finisher":
        require("no-gpu")
    config = RentConfig.model_validate(parameters(fresh_cycle, own_host, run, **more))
    before = {path.name for path in fresh_cycle.iterdir()}
    with pytest.raises(HostError, match=said):
        rent(config, plan(config))
    kept = list(fresh_cycle.parent.glob(".rented-*"))
    assert len(kept) == (run == "liar"), "what has arrived of a run is kept, and only that"
    for folder in kept:
        shutil.rmtree(folder)
    nothing_left(own_host, fresh_cycle)
    assert outcomes(fresh_cycle) == ["failed"]
    assert {path.name for path in fresh_cycle.iterdir()} == before
    assert not (fresh_cycle.parent / "cycle2").exists()
