"""A job's phases: what a program writes of them, and what its owner makes of that."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tasks.entrypoints.job_phases import JobPhases
from tasks.runtimes.base import Job, JobResult
from tasks.runtimes.job_seconds import (
    JobSeconds,
    TimedRuntime,
    read_phases,
    run_seconds,
    seconds_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def request_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The request of the command line."""
    path = tmp_path / "training.request.json"
    monkeypatch.setattr(sys, "argv", ["program.py", str(path)])
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    return path


def names(folder: Path) -> list[str]:
    """The phases of a file, in its order."""
    lines = (folder / "training.phases.jsonl").read_text().splitlines()
    return [json.loads(line)["phase"] for line in lines]


def test_each_phase_that_begins_is_a_line(request_file: Path) -> None:
    """The first is the import, since the process began; what is within another goes back to it."""
    phases = JobPhases()
    phases.begin()
    phases.enter("train")
    with phases.within("save"):
        phases.enter("save")
    phases.enter("train")
    assert names(request_file.parent) == ["import", "train", "save", "train"]
    first = json.loads((request_file.parent / "training.phases.jsonl").read_text().splitlines()[0])
    # This process began before this test, and not before the machine did.
    assert time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) < first["time"] < time.time()


def test_a_failure_within_a_phase_goes_back_too(request_file: Path) -> None:
    """What follows a failed save is no save."""
    phases = JobPhases()
    phases.begin()
    with pytest.raises(OSError, match="full"), phases.within("save"):
        raise OSError("full")
    assert names(request_file.parent) == ["import", "save", "import"]


def test_only_the_first_rank_writes(request_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several ranks have one request."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    phases = JobPhases()
    phases.begin()
    phases.enter("train")
    assert list(request_file.parent.iterdir()) == []


def write(path: Path, *begun: tuple[str, float], tail: str = "") -> None:
    """A file of phases."""
    lines = [json.dumps({"phase": name, "time": at}) + "\n" for name, at in begun]
    path.write_text("".join(lines) + tail)


def test_the_phases_add_up_to_the_job(tmp_path: Path) -> None:
    """From the owner's start to the owner's end, also of a program that was killed as it wrote."""
    path = tmp_path / "phases.jsonl"
    write(path, ("import", 101.5), ("train", 103.0), ("save", 110.0), ("train", 111.0), tail='{"ph')
    seconds = read_phases(path, 100.0, 120.0)
    assert seconds == {"start": 1.5, "import": 1.5, "train": 16.0, "save": 1.0}
    assert list(seconds) == ["start", "import", "train", "save"]


def test_a_process_that_seems_to_begin_before_its_job_takes_nothing_off(tmp_path: Path) -> None:
    """The kernel knows a process's start to a hundredth of a second."""
    path = tmp_path / "phases.jsonl"
    write(path, ("import", 99.99), ("train", 103.0))
    assert read_phases(path, 100.0, 104.0) == {"start": 0.0, "import": 3.0, "train": 1.0}
    assert read_phases(tmp_path / "none.jsonl", 100.0, 104.0) == {}


class Recording:
    """A runtime whose program writes its phases and fails if it is told to."""

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails

    def execute(
        self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
    ) -> JobResult:
        """Run it."""
        assert not job.phases_file.exists()
        write(job.phases_file, ("import", time.time()), ("decode", time.time()))
        on_line("line")
        poll()
        if self._fails:
            raise KeyboardInterrupt
        return JobResult(0)


def a_job(folder: Path) -> Job:
    """A job in a folder in which an earlier start has left its phases."""
    job = Job("transcription", "transcribe.py", {}, folder, (), {})
    write(job.phases_file, ("import", 1.0))
    return job


def test_a_timed_runtime_keeps_each_job(tmp_path: Path) -> None:
    """Also one that failed or was stopped: its seconds are billed as well."""
    lines: list[str] = []
    timed = TimedRuntime(Recording())  # type: ignore[arg-type]  # only its jobs are looked at
    assert timed.execute(a_job(tmp_path), lines.append, lambda: None) == JobResult(0)
    assert lines == ["line"]
    stopped = TimedRuntime(Recording(fails=True), timed.jobs)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        stopped.execute(a_job(tmp_path), lines.append, lambda: None)
    assert [job.job for job in timed.jobs] == ["transcription"] * 2
    for job in timed.jobs:
        assert list(job.phases) == ["start", "import", "decode"]
        assert sum(job.phases.values()) == pytest.approx(job.seconds, abs=0.02)


def test_a_run_says_what_it_computed_and_what_it_waited_for() -> None:
    """Training, validation, mixing and decoding compute; the rest of a GPU's bill is waiting."""
    jobs = [
        JobSeconds(
            "training", 60.0, {"start": 1.0, "import": 9.0, "train": 40.0, "validate": 10.0}
        ),
        JobSeconds("transcription", 20.0, {"import": 15.0, "decode": 5.0}),
    ]
    seconds = run_seconds(100.0, jobs)
    assert (seconds["run"], seconds["computing"]) == (100.0, 55.0)
    assert seconds["jobs"][1]["phases"] == {"import": 15.0, "decode": 5.0}
    table = seconds_table(seconds)
    assert [row["job"] for row in table] == [
        "training",
        "transcription",
        "checks, scores, report, waiting",
        "whole run",
    ]
    assert table[2]["seconds"] == "20.0"
    assert (table[0]["decode"], table[1]["decode"]) == ("", "5.0")
    assert len({tuple(row) for row in table}) == 1


def test_what_a_job_computed_may_be_unknown() -> None:
    """Programs of another folder write no phases; then there is no sum that leaves them out."""
    seconds = run_seconds(30.0, [JobSeconds("training", 10.0, {})])
    assert seconds["computing"] is None
    assert seconds["jobs"] == [{"job": "training", "seconds": 10.0, "phases": {}}]
    assert run_seconds(30.0, [])["computing"] == 0
