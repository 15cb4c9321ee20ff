"""Rentals of the loopback host: how they are asked for, what runs there, and what is left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import prefect_site, stub_programs
from tests.support.brev_stub import all_leases

if TYPE_CHECKING:
    from asr_flywheel.site.local_site import Site
    from tests.support.loopback_ssh import Loopback

SECRET = "planted-secret-0815"  # noqa: S105 - planted, to be looked for


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
