"""A real site for tests: Prefect's server, the GPU pool, the deployments and a worker."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import numpy as np
import tenacity
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from asr_flywheel.demo import synthesis
from asr_flywheel.demo.dataset import DemoUtterance, plan_cycle, synthesise_cycle
from asr_flywheel.site.local_site import Site
from tasks.data.cycle_folder import open_cycle
from tasks.stages import evaluate
from tests.support import stub_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

DEPLOYMENT = "finetune-cycle/finetune-cycle"
OVER = {"Completed", "Failed", "Crashed", "Cancelled"}


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Site]:
    """A site on a free port, ended and removed afterwards.

    Its worker looks for runs every two seconds, not every ten, as on a rented host.
    """
    site = Site(
        folder / "site", free_port(), {"PREFECT_WORKER_QUERY_SECONDS": "2", **(settings or {})}
    )
    try:
        site.up()
        yield site
    finally:
        site.down()
        shutil.rmtree(folder / "site", ignore_errors=True)


@contextmanager
def speaking_to(site: Site) -> Iterator[None]:
    """Let Prefect's client in this process talk to the site."""
    settings: dict[Any, str] = {PREFECT_API_URL: f"{site.url}/api"}
    if (known := credentials(site)) is not None:
        settings[PREFECT_API_AUTH_STRING] = ":".join(known)
    with temporary_settings(settings):
        yield


def slots_taken(site: Site) -> dict[str, int]:
    """How many slots are taken of each limit of a GPU or host, by the limit's name."""
    found = call(site, "POST", "v2/concurrency_limits/filter")
    return {
        str(one["name"]): int(one["active_slots"])
        for one in found
        if one["name"].startswith("gpu-")
    }


def noise(utterance: DemoUtterance) -> synthesis.FloatAudio:
    """As long as its text takes to say."""
    samples = round(synthesis.SAMPLE_RATE * (0.5 + 0.05 * len(utterance.text)))
    noise = np.random.default_rng(utterance.seed).uniform(-0.3, 0.3, samples)
    return noise.astype(np.float32)


def make_cycle(folder: Path) -> Path:
    """Every second row of the embedded benchmark, 120 in all: noise, with the stub's baseline."""
    with (
        patch("asr_flywheel.demo.dataset.plan_cycle", lambda seed: plan_cycle(seed)[::2]),
        patch("asr_flywheel.demo.dataset.speak", noise),
        patch.dict(os.environ, stub_programs.ENVIRONMENT),
    ):
        synthesise_cycle(folder, workers=1)
        evaluate.transcribe_baseline(open_cycle(folder), "embedded", None, (), print)
    return folder


def quick(cycle: Path, **more: Any) -> dict[str, Any]:
    """Parameters of a quick run: the embedded base, one epoch, no general English."""
    return {"cycle": str(cycle), "base": "embedded", "epochs": 1, "general": "none", **more}


def run_here(site: Site, cycle: Path, **more: Any) -> str:
    """Run a cycle by the stub programs in this process, on the site's server; the flow run's id.

    For tests of what a run decides and leaves. A worker's run is a process of its own, which
    imports everything once more.

    Raises:
        AssertionError: it did not end well.
    """
    # Slow, and most who import this module launch runs.
    from flows.config import CycleConfig  # noqa: PLC0415 - the reason above
    from flows.finetune_cycle import finetune_cycle  # noqa: PLC0415 - likewise

    with speaking_to(site), patch.dict(os.environ, stub_programs.ENVIRONMENT):
        ended = finetune_cycle(CycleConfig(**quick(cycle, **more)), return_state=True)
    if not ended.is_completed():
        raise AssertionError(ended.message)
    return str(ended.state_details.flow_run_id)


def trained_batches(cycle: Path) -> int:
    """How far training has come, by the events that it has written; its start counts as one."""
    return sum(
        path.read_text().count('"event": "step"') + path.read_text().count('"event": "start"')
        for path in (cycle / "models").glob(".*.work/events.jsonl")
    )


def credentials(site: Site) -> tuple[str, str] | None:
    """User and password, where the site asks for them."""
    user, _, password = site.environment.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return (user, password) if user else None


def trains(site: Site, run: str, cycle: Path, seconds: float = 300.0) -> None:
    """Wait until a run trains, and until its log says so.

    Prefect sends a log in batches. Of lines of the last second before a server's stop, some were
    seen to be lost.

    Raises:
        AssertionError: it does not, or it has ended; holds its log.
    """

    def begun_or_over() -> bool:
        return trained_batches(cycle) > 0 or state(site, run) in OVER

    with suppress(TimeoutError):
        wait_for(begun_or_over, seconds)
    if not trained_batches(cycle):
        raise AssertionError(f"{state(site, run)}:\n" + "\n".join(log(site, run)))
    says(site, run, "sft: ")


_HOLDER = """
import sys
from flows import gpu_slots as slots
from tasks.runtimes.hardware import Gpu
with slots.gpu_slot([Gpu("planted", uuid=uuid) for uuid in sys.argv[1:]]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def asking_for_slot(site: Site, *uuids: str) -> Iterator[Event]:
    """A process that holds the slots of these GPUs, or the host's, as soon as it gets them.

    Not this process: Prefect's client for slots stays with the first server that it has spoken to.
    """
    got = Event()
    line = [sys.executable, "-c", _HOLDER, *uuids]
    with subprocess.Popen(
        line, env=site.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:

        def watch() -> None:
            if holder.stdout is not None and b"held" in holder.stdout.readline():
                got.set()

        watching = Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield got
        finally:
            if not got.is_set():
                holder.kill()
            elif holder.stdin is not None:
                holder.stdin.close()
            holder.wait(60)
            watching.join()


@contextmanager
def holding_slot(site: Site, *uuids: str) -> Iterator[None]:
    """The same, held when the block begins."""
    with asking_for_slot(site, *uuids) as got:
        assert got.wait(60)
        yield


def lose(site: Site, run: str) -> None:
    """Kill a run and the worker that watches it, as a host that is switched off does."""
    site.stop("worker", signal.SIGKILL)
    process = call(site, "GET", f"flow_runs/{run}")["infrastructure_pid"]
    os.kill(int(process.rpartition(":")[2]), signal.SIGKILL)


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(httpx.ReadTimeout)
    | tenacity.retry_if_result(lambda one: one.status_code == httpx.codes.SERVICE_UNAVAILABLE),
    stop=tenacity.stop_after_attempt(5),
    wait=tenacity.wait_exponential(),
    # The last answer, or the last error.
    retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
)
def _request(method: str, url: str, **options: Any) -> httpx.Response:
    return httpx.request(method, url, **options)


def call(
    site: Site, method: str, path: str, content: Sequence[Any] | None = None, **body: Any
) -> Any:
    """One request to the API with a list or an object as its body; its answer's JSON.

    A busy SQLite answers 503 or late, and Prefect's own clients try again then: so does this.

    Raises:
        httpx.HTTPStatusError: the API refused.
        httpx.ReadTimeout: it did not answer, five times.
    """
    answer = _request(
        method,
        f"{site.url}/api/{path}",
        json=content or body or None,
        auth=credentials(site),
        timeout=60,
    )
    answer.raise_for_status()
    return answer.json() if answer.content else None


def launch(
    site: Site, config: Mapping[str, Any], deployment_name: str = DEPLOYMENT, **more: Any
) -> str:
    """Ask for a run of a deployment over the API; the flow run's id."""
    deployment = call(site, "GET", f"deployments/name/{deployment_name}")
    path = f"deployments/{deployment['id']}/create_flow_run"
    # With a key, asking again is not a second run.
    more = {"idempotency_key": str(uuid.uuid4()), **more}
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


def ends(site: Site, run: str, wanted: str, seconds: float = 600.0) -> None:
    """Wait until a run has ended, and see that it ended as wanted.

    Raises:
        AssertionError: it ended otherwise; holds its log.
    """
    wait_for(lambda: state(site, run) in OVER, seconds)
    found = state(site, run)
    if found != wanted:
        raise AssertionError(f"{found}, not {wanted}:\n" + "\n".join(log(site, run)))


def retry(site: Site, run: str) -> None:
    """What the UI's Retry button asks of the API."""
    wanted = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
    answer = call(site, "POST", f"flow_runs/{run}/set_state", state=wanted, force=True)
    if answer["status"] != "ACCEPT":
        raise AssertionError(answer)


def task_runs(site: Site, run: str) -> dict[str, str]:
    """The state of each task of a run, by the task's name; of several tries the last one's."""
    found = call(
        site,
        "POST",
        "task_runs/filter",
        task_runs={"flow_run_id": {"any_": [run]}},
        sort="EXPECTED_START_TIME_ASC",
    )
    # A task run that has just been made has no state yet.
    return {
        str(one["name"]).rpartition("-")[0]: str((one["state"] or {}).get("name", "Pending"))
        for one in found
    }


def artifact(site: Site, run: str, key: str) -> dict[str, Any]:
    """What a run left under a key, which other runs of the same clinic use too.

    Raises:
        AssertionError: nothing, or more than one.
    """
    wanted = {"key": {"any_": [key]}, "flow_run_id": {"any_": [run]}}
    found = call(site, "POST", "artifacts/filter", artifacts=wanted)
    if len(found) != 1:
        raise AssertionError(f"{len(found)} artifacts {key} of run {run}")
    return dict(found[0])


def says(site: Site, run: str, text: str) -> None:
    """See that a run's log says something; its last lines arrive after its end.

    Raises:
        AssertionError: it does not; holds the log.
    """
    try:
        wait_for(lambda: any(text in line for line in log(site, run)), 20)
    except TimeoutError:
        raise AssertionError(f"no {text!r} in:\n" + "\n".join(log(site, run))) from None


def log(site: Site, run: str) -> list[str]:
    """The run's log."""
    rows = call(
        site, "POST", "logs/filter", logs={"flow_run_id": {"any_": [run]}}, sort="TIMESTAMP_ASC"
    )
    return [str(row["message"]) for row in rows]
