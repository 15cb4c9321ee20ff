"""The stub's trainings on a Slurm of this machine: started, held at a checkpoint, looked into."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.runtimes.base import Job
from tasks.runtimes.slurm import allocation
from tasks.runtimes.slurm.runtime import SlurmRuntime
from tasks.runtimes.slurm.settings import SlurmSettings
from tasks.training import sft
from tasks.training.run import EVENTS_NAME
from tests.support import factories, prefect_site, stub_programs
from tests.support.sft_request_cases import request_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.training.progress import TrainingProgress
    from tasks.training.run import SftRequest, SftResult
    from tests.support.slurm_cluster import SlurmCluster

HOLD = 'hold(Path(rows["train"][0]["audio_filepath"]))'


def recorded(clinic: Path, base: Path) -> SftRequest:
    """A run of three epochs on two rows whose recordings are there."""
    (clinic / "audio").mkdir(parents=True)
    for number in range(3):
        factories.write_wav(clinic / "audio" / f"{number}.wav", 1.0, seed=number)
    return request_in(clinic, base)


def runtime_for(request: SftRequest, programs: Path, **settings: Any) -> SlurmRuntime:
    """The runtime of a request, which ends its jobs soon; not while a busy machine asks Slurm."""
    given = {"idle_release_s": 20, "abandoned_after_s": 60, **settings}
    said: list[str] = []
    place = request.model_dir.parents[2]  # cycle1 lies in it
    return SlurmRuntime(SlurmSettings(**given), place, programs=programs, report=said.append)


@contextmanager
def held(request: SftRequest) -> Iterator[Path]:
    """The training of a request waits after each checkpoint while the block runs."""
    with stub_programs.held(request.model_dir.parents[1]):
        yield request.model_dir.parents[1] / stub_programs.HOLD_TRAINING


def checkpointed(request: SftRequest) -> bool:
    """Whether the first epoch's checkpoint is there."""
    return any(request.checkpoints.glob("*-last.ckpt"))


def in_background(request: SftRequest, runtime: SlurmRuntime, stop: threading.Event) -> Any:
    """Train in a thread; setting the event is what a cancellation is."""

    def report(_: TrainingProgress) -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    return ThreadPoolExecutor(1).submit(sft.train, request, runtime, report)


@contextmanager
def checkpointed_training(
    request: SftRequest, runtime: SlurmRuntime, stop: threading.Event | None = None
) -> Iterator[tuple[Any, Path]]:
    """A training in a thread that waits after its first checkpoint, and the file that holds it."""
    with held(request) as flag:
        training = in_background(request, runtime, stop or threading.Event())
        prefect_site.wait_for(lambda: checkpointed(request))
        yield training, flag


def nothing_left(cluster: SlurmCluster, runtime: SlurmRuntime) -> None:
    """No job, no folder of a job, and no process of the stub is there."""
    allocation.close_all()
    prefect_site.wait_for(lambda: not cluster.jobs())
    assert not (runtime.place / allocation.FOLDER).exists()
    stubs = subprocess.run(
        ["pgrep", "-f", str(runtime.programs)],
        capture_output=True,
        check=False,
    )
    assert not stubs.stdout


def starts(result: SftResult) -> list[int]:
    """The epochs at which the starts of a training began."""
    events = atomic_files.read_jsonl(result.model.with_name(EVENTS_NAME))
    return [event["epoch"] for event in events if event["event"] == "start"]


def epochs_of(result: SftResult) -> list[int]:
    """The epochs that a training's record has."""
    return [epoch.epoch for epoch in result.epochs]


_OWNER = """
import sys
from pathlib import Path
from tests.support.slurm_trainings import runtime_for
from tasks.training import sft
from tests.support.sft_request_cases import request_in
clinic, base, programs = map(Path, sys.argv[1:])
request = request_in(clinic, base)
sft.train(request, runtime_for(request, programs, abandoned_after_s=10), lambda _: None)
"""


@contextmanager
def owner_that_dies(request: SftRequest, programs: Path, folder: Path) -> Iterator[None]:
    """Another process trains until its first checkpoint, and is then killed."""
    clinic = request.model_dir.parents[1]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _OWNER, str(clinic), str(request.base), str(programs)],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    with held(request):
        prefect_site.wait_for(lambda: process.poll() is not None or checkpointed(request))
        assert process.poll() is None, (folder / "log").read_text()
        process.send_signal(signal.SIGKILL)
        process.wait()
        yield


def run_nothing(runtime: SlurmRuntime, clinic: Path) -> Any:
    """Execute a job without asking a node first."""
    return runtime.execute(job_in(clinic), lambda _: None, lambda: None)


def job_in(clinic: Path) -> Job:
    """A job that asks for nothing."""
    return Job("training", "launch_training.py", {}, clinic / ".work", (), {})
