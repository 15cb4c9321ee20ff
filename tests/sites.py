"""A real site for tests: Prefect's server, the GPU pool, the deployments and a worker."""

from __future__ import annotations

import shutil
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from asr_flywheel.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

DEPLOYMENT = "finetune-cycle/finetune-cycle"


@contextmanager
def running(folder: Path) -> Iterator[Site]:
    """A site on a free port, ended and removed afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    site = Site(folder / "site", port)
    try:
        site.up()
        yield site
    finally:
        site.down()
        shutil.rmtree(folder / "site", ignore_errors=True)


def call(site: Site, method: str, path: str, **body: Any) -> Any:
    """One request to the API; its answer's JSON.

    Raises:
        httpx.HTTPStatusError: the API refused.
    """
    answer = httpx.request(method, f"{site.url}/api/{path}", json=body or None, timeout=30)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def launch(site: Site, config: Mapping[str, Any], **more: Any) -> str:
    """Ask for a run of the deployment over the API; the flow run's id."""
    deployment = call(site, "GET", f"deployments/name/{DEPLOYMENT}")
    path = f"deployments/{deployment['id']}/create_flow_run"
    made = call(site, "POST", path, parameters={"config": dict(config)}, **more)
    return str(made["id"])


def state(site: Site, run: str) -> str:
    """The flow run's state, by its name."""
    return str(call(site, "GET", f"flow_runs/{run}")["state"]["name"])


def wait_for(what: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it did not.
    """
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.3)


def ends(site: Site, run: str, wanted: str, seconds: float = 240.0) -> None:
    """Wait until a run has ended, and see that it ended as wanted.

    Raises:
        AssertionError: it ended otherwise; holds its log.
    """
    over = {"Completed", "Failed", "Crashed", "Cancelled"}
    wait_for(lambda: state(site, run) in over, seconds)
    found = state(site, run)
    if found != wanted:
        raise AssertionError(f"{found}, not {wanted}:\n" + "\n".join(log(site, run)))


def log(site: Site, run: str) -> list[str]:
    """The run's log."""
    rows = call(
        site, "POST", "logs/filter", logs={"flow_run_id": {"any_": [run]}}, sort="TIMESTAMP_ASC"
    )
    return [str(row["message"]) for row in rows]
