"""Seconds of jobs: how long each took, and which phase of it took how long."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tasks.runtimes.base import Job, JobResult, Runtime, Script
    from tasks.runtimes.hardware import Hardware

COMPUTING = ("train", "validate", "mix", "decode")
"""The phases in which a model computes; in the others a GPU that bills is waiting."""


@dataclass(frozen=True, slots=True)
class JobSeconds:
    """The seconds of a job.

    Attributes:
        job: its name.
        seconds: from its start to its end, as its owner saw it.
        phases: seconds by phase, in the order of their first beginning. "start" is what passed
            before the program's process began. Empty where the program wrote none.
    """

    job: str
    seconds: float
    phases: Mapping[str, float]

    @property
    def computing(self) -> float | None:
        """The seconds in which a model computed; None where that is not known."""
        if not self.phases:
            return None
        return sum(self.phases.get(name, 0.0) for name in COMPUTING)

    def as_dict(self) -> dict[str, Any]:
        """Return them as run.json holds them, in hundredths of a second."""
        return {
            "job": self.job,
            "seconds": round(self.seconds, 2),
            "phases": {name: round(seconds, 2) for name, seconds in self.phases.items()},
        }


@runtime_checkable
class SharingRuntime(Protocol):
    """A runtime that can run all programs of a run in one place, if it is told of the run."""

    def share(self, folder: Path, reads: Sequence[Path], report: Callable[[str], None]) -> None:
        """Prepare that place for jobs whose work folders lie in ``folder``."""


@dataclass(frozen=True, slots=True)
class TimedRuntime:
    """A runtime that keeps the seconds of each job that it runs, also of one that fails.

    Attributes:
        runtime: what runs the jobs.
        jobs: gets the seconds of each.
    """

    runtime: Runtime
    jobs: list[JobSeconds] = field(default_factory=list)

    @property
    def hardware(self) -> Hardware:
        """The runtime's."""
        return self.runtime.hardware

    @property
    def script(self) -> Script:
        """The runtime's."""
        return self.runtime.script

    @property
    def identity(self) -> str:
        """The runtime's."""
        return self.runtime.identity

    def check(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Refuse what the runtime refuses."""
        self.runtime.check(report)

    def share(self, folder: Path, reads: Sequence[Path], report: Callable[[str], None]) -> None:
        """Have all programs of a run share what they can; see ``ContainerRuntime.share``."""
        if isinstance(self.runtime, SharingRuntime):
            self.runtime.share(folder, reads, report)

    def path_mapper(self, work: Path, reads: Sequence[Path]) -> Callable[[Path], str]:
        """Return the runtime's mapping."""
        return self.runtime.path_mapper(work, reads)

    def execute(
        self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
    ) -> JobResult:
        """Run the job, and keep its seconds."""
        job.phases_file.unlink(missing_ok=True)  # of an earlier start in the same folder
        started = time.time()
        try:
            return self.runtime.execute(job, on_line, poll)
        finally:
            ended = time.time()
            phases = read_phases(job.phases_file, started, ended)
            self.jobs.append(JobSeconds(job.name, ended - started, phases))


def read_phases(path: Path, started: float, ended: float) -> dict[str, float]:
    """Return the seconds of each phase that a program wrote down.

    Args:
        path: its file; see tasks/entrypoints/job_phases.py.
        started: when its owner started the job, in seconds since 1970.
        ended: when the owner saw its end.

    Returns:
        They add up to the job's seconds; {} where there is no file.
    """
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    # A program that was killed may have been writing its last line.
    begun = [json.loads(line) for line in lines if line.endswith("\n")]
    names = ["start", *(phase["phase"] for phase in begun)]
    # A process start is known to a hundredth of a second: it may seem to lie before its cause.
    times = [started, *(max(started, phase["time"]) for phase in begun), ended]
    seconds: dict[str, float] = {}
    for name, begins, ends in zip(names, times, times[1:], strict=False):
        seconds[name] = seconds.get(name, 0.0) + max(0.0, ends - begins)
    return seconds


def run_seconds(seconds: float, jobs: Sequence[JobSeconds]) -> dict[str, Any]:
    """Return a run's seconds as run.json holds them.

    Args:
        seconds: from the run's start to its record.
        jobs: of those that it started on this host.

    Returns:
        "run": seconds of the run; "computing": of models at work, None where a job does not say;
        "jobs": each job's.
    """
    computing = [job.computing for job in jobs]
    known = [value for value in computing if value is not None]
    return {
        "run": round(seconds, 2),
        "computing": round(sum(known), 2) if len(known) == len(computing) else None,
        "jobs": [job.as_dict() for job in jobs],
    }


def seconds_table(seconds: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a run's seconds as a table: a row a job, and what passed outside of jobs.

    Args:
        seconds: as run.json holds them.
    """
    jobs: Sequence[Mapping[str, Any]] = seconds["jobs"]
    phases = list(dict.fromkeys(name for job in jobs for name in job["phases"]))
    rows = [
        {
            "job": job["job"],
            "seconds": f"{job['seconds']:.1f}",
            **{
                name: f"{job['phases'][name]:.1f}" if name in job["phases"] else ""
                for name in phases
            },
        }
        for job in jobs
    ]
    between = seconds["run"] - sum(job["seconds"] for job in jobs)
    no_phases = dict.fromkeys(phases, "")
    rows.append(
        {"job": "checks, scores, report, waiting", "seconds": f"{between:.1f}", **no_phases}
    )
    return [*rows, {"job": "whole run", "seconds": f"{seconds['run']:.1f}", **no_phases}]
