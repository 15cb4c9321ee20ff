"""A run's job on the cluster, as the run sees it: submitted, watched, ended, never left behind.

A process has one for each place of its cycles. It ends with the run: by word, when the process
ends, and by its own clock if the process was killed. The next run of this host cancels at once what
such a process has left.
"""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tasks
from tasks.common import atomic_files
from tasks.common.errors import FlywheelError, InputError
from tasks.runtimes import job_owner
from tasks.runtimes.failures import Fault, FaultError, disk_full_is_a_fault
from tasks.runtimes.slurm import commands
from tasks.runtimes.slurm.spool import EXIT_UNSEEN, Spool, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.runtimes.slurm.commands import JobState
    from tasks.runtimes.slurm.settings import SlurmSettings

FOLDER = ".asr-flywheel.slurm"
"""Lies beside the cycles, on the file system that the nodes see; has a folder for each job."""
_LOOK_EVERY_S = 0.1
_BEAT_EVERY_S = 2.0
_ASK_EVERY_S = 2.0
_TELL_EVERY_S = 60.0
# Of the owner's periods: a busy host may be late.
_FRESH_S = 10.0
# A shared file system may show a file later than Slurm tells that its job has ended.
_LATE_FILES_S = 3.0
_END_S = 60.0
_AGENT = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from tasks.runtimes.slurm.agent import main; main()"
)


class JobEndedError(Exception):
    """The job ended before its task did."""

    def __init__(self, state: JobState, *, begun: bool) -> None:
        self.state = state
        self.begun = begun
        super().__init__(state.name)


def script(settings: SlurmSettings, spool: Spool) -> str:
    """Return the shell script of a job: the agent, after the lines that the user wants."""
    agent = [
        sys.executable,
        "-c",
        _AGENT,
        str(Path(tasks.__file__).resolve().parents[1]),
        str(spool.folder),
        str(settings.abandoned_after_s),
        str(settings.idle_release_s),
    ]
    return "\n".join(
        [
            # A login shell, which knows `module`.
            "#!/bin/bash -l",
            f"test -r {shlex.quote(str(spool.heartbeat))} || exit {EXIT_UNSEEN}",
            *settings.setup,
            f"exec {shlex.join(agent)}",
            "",
        ]
    )


@dataclass(slots=True)
class Allocation:
    """A job that serves a run's stages.

    Attributes:
        spool: its folder.
        job: its id.
        report: gets lines for people.
    """

    spool: Spool
    job: str
    report: Callable[[str], None]
    tasks: int = 0
    node: str = ""
    _beat: float = field(default=0.0, repr=False)
    _asked: float = field(default=0.0, repr=False)
    _told: tuple[str, float] = field(default=("", 0.0), repr=False)

    def send(self, task: Task, work: Path) -> int:
        """Give the agent a task; return its number."""
        self.tasks += 1
        self._touch()
        with disk_full_is_a_fault():
            atomic_files.write_text(self.spool.work, str(work))
            self.spool.put(self.tasks, task)
        return self.tasks

    def exit_code(self, number: int) -> int | None:
        """Look after a task: say that it is awaited, and return its exit code once it has one.

        Raises:
            JobEndedError: the job ended before it.
            FaultError: the job waits for what will never be.
        """
        self._touch()
        exit_code = self.spool.exit_code(number)
        if exit_code is not None or time.monotonic() - self._asked < _ASK_EVERY_S:
            return exit_code
        self._asked = time.monotonic()
        state = commands.state_of(self.job)
        if state is None:
            self._tell("Slurm does not answer; the job goes on without it")
        elif state.has_ended:
            until = time.monotonic() + _LATE_FILES_S
            while time.monotonic() < until:
                if (exit_code := self.spool.exit_code(number)) is not None:
                    return exit_code
                time.sleep(_LOOK_EVERY_S)
            raise JobEndedError(state, begun=self.spool.begun(number).exists())
        elif state.waits:
            self._require_hope(state)
            self._tell(f"job {self.job} waits: {state.reason or state.name}")
        elif state.node and state.node != self.node:
            self.node = state.node
            self._tell(f"job {self.job} runs on {state.node}")
        return exit_code

    def _require_hope(self, state: JobState) -> None:
        if state.reason in commands.NEVER:
            raise FaultError(
                Fault.JOB_REFUSED, f"job {self.job} would wait for ever: {state.reason}"
            )

    def _tell(self, line: str) -> None:
        now = time.monotonic()
        if line != self._told[0] or now - self._told[1] > _TELL_EVERY_S:
            self._told = (line, now)
            self.report(line)

    def _touch(self) -> None:
        if time.monotonic() - self._beat > _BEAT_EVERY_S:
            self._beat = time.monotonic()
            self.spool.heartbeat.touch()

    @property
    def log_tail(self) -> str:
        """The end of what script and agent printed."""
        with suppress(OSError):
            return self.spool.log.read_text(encoding="utf-8", errors="replace")[-2000:].strip()
        return ""

    def close(self, *, cancel: bool) -> None:
        """End the job, and wait until it has ended; remove its folder.

        Args:
            cancel: whether a program may still be running in it.
        """
        with suppress(OSError):  # a full disk; the agent sees that the heartbeat is gone
            self.spool.end.touch()
        if cancel or not _wait(self.job, time.monotonic() + _FRESH_S, ask_every_s=0.3):
            _cancel(self.job)
        remove(self.spool)


def _cancel(job: str) -> None:
    with suppress(FlywheelError):  # it ends by itself when its heartbeat is gone
        commands.cancel(job)
        _wait(job, time.monotonic() + _END_S, ask_every_s=0.5)


def _wait(job: str, until: float, ask_every_s: float) -> bool:
    """Return whether the job has ended in time, its processes too."""
    while time.monotonic() < until:
        state = commands.state_of(job)
        if state is not None and state.has_ended:
            return True
        time.sleep(ask_every_s)
    return False


def remove(spool: Spool) -> None:
    """Remove the folder of a job that has ended, and the folder above it if that is empty."""
    shutil.rmtree(spool.folder, ignore_errors=True)
    with suppress(OSError):
        spool.folder.parent.rmdir()


def submit(settings: SlurmSettings, place: Path, report: Callable[[str], None]) -> Allocation:
    """Submit a job.

    Args:
        settings: the user's.
        place: the folder of the cycles.
        report: gets lines for people.

    Raises:
        FaultError: Slurm refuses it or does not answer, or the disk is full.
        InputError: the folder cannot be made, or there is no sbatch.
    """
    spool = prepare(settings, place)
    try:
        job = commands.submit(settings, spool.log, spool.script)
        atomic_files.write_text(spool.job, job)
    except BaseException:
        remove(spool)
        raise
    report(f"job {job} submitted" + (f" to {settings.partition}" if settings.partition else ""))
    return Allocation(spool, job, report)


def prepare(settings: SlurmSettings, place: Path) -> Spool:
    """Make the folder of a job with all that it needs.

    Raises:
        InputError: it cannot be made.
        FaultError: the disk is full.
    """
    with disk_full_is_a_fault():
        try:
            (place / FOLDER).mkdir(exist_ok=True)
            spool = Spool(Path(tempfile.mkdtemp(dir=place / FOLDER)))
        except PermissionError as wrong:
            raise InputError(
                f"{place}: this user cannot write there ({wrong}). Fix: keep cycles in a folder "
                "of yours that the nodes see too."
            ) from wrong
        atomic_files.write_text(spool.owner, job_owner.owner())
        atomic_files.write_text(spool.restart, "0")
        atomic_files.write_text(spool.script, script(settings, spool))
        spool.heartbeat.touch()
    return spool


def clear(place: Path, work: Path | None = None) -> list[str]:
    """End the jobs that killed processes of this host have left, and those of the same work.

    Args:
        place: the folder of the cycles.
        work: of the task that comes next.

    Returns:
        The jobs' ids.

    Raises:
        InputError: another live process has the same task running.
    """
    ended = []
    for folder in (place / FOLDER).glob("*/"):
        spool = Spool(folder)
        try:
            owner, job = spool.owner.read_text(), spool.job.read_text()
            awaited = time.time() - spool.heartbeat.stat().st_mtime < _FRESH_S
            same = work is not None and spool.work.read_text() == str(work)
        except OSError:  # another process is making or removing it
            continue
        if owner == job_owner.owner():
            continue
        if job_owner.is_running(owner) or (awaited and not job_owner.is_local(owner)):
            if same:
                raise InputError(
                    f"Slurm's job {job} already runs this for process {owner}. Fix: wait for it, "
                    "or stop that process."
                )
            continue
        if same or job_owner.is_local(owner):
            _cancel(job)
            remove(spool)
            ended.append(job)
    return ended


_allocations: dict[tuple[SlurmSettings, Path], Allocation] = {}
_allocations_lock = threading.Lock()


def of_this_process(
    settings: SlurmSettings, place: Path, work: Path, report: Callable[[str], None]
) -> Allocation:
    """Return this process's job of these settings and this place; submit one where there is none.

    Raises:
        FaultError, InputError: as ``submit`` and ``clear``.
    """
    with _allocations_lock:
        key = (settings, place)
        if key not in _allocations:
            for job in clear(place, work):
                report(f"job {job} of a run that is gone: cancelled")
            _allocations[key] = submit(settings, place, report)
        return _allocations[key]


def forget(allocation: Allocation, *, cancel: bool) -> None:
    """End a job, and have the next stage submit another."""
    with _allocations_lock:
        for key in [key for key, one in _allocations.items() if one is allocation]:
            del _allocations[key]
    allocation.close(cancel=cancel)


def close_all() -> None:
    """End all jobs of this process."""
    with _allocations_lock:
        while _allocations:
            _allocations.popitem()[1].close(cancel=False)


def _forget_all() -> None:
    """Leave the jobs to the process that submitted them."""
    global _allocations_lock  # noqa: PLW0603 - a thread that is not in the fork may hold the old one
    _allocations_lock = threading.Lock()
    _allocations.clear()


atexit.register(close_all)
os.register_at_fork(after_in_child=_forget_all)
