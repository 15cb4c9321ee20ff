"""Runs commands side by side, each on cores of its own, until a budget of seconds is spent.

A run decodes as many batches at once as it may use cores, and torch starts as many threads. So a
command that is held to two cores computes as on a machine that has two.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PIN = "import os, sys; os.sched_setaffinity(0, map(int, sys.argv[1].split(','))); "
_PIN += "os.execv(sys.argv[2], sys.argv[2:])"
_POLL_S = 0.2
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class PinnedTask:
    """A command.

    Attributes:
        name: by which others need it.
        command: its arguments.
        cores: how many it is held to; fewer where the machine has fewer.
        needs: tasks that must have ended well before.
        environment: what it has besides this process's.
        log: the file that takes its output.
    """

    name: str
    command: Sequence[str]
    cores: int
    log: Path
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskEnd:
    """How a task ended.

    Attributes:
        task: it.
        exit_code: None where it was ended at the budget's end, or was not started.
        seconds: it took.
        processor_s: seconds of processor time of it and of what it waited for.
        cores: that it was held to.
    """

    task: PinnedTask
    exit_code: int | None
    seconds: float = 0.0
    processor_s: float = 0.0
    cores: tuple[int, ...] = ()


def usable_cores() -> tuple[int, ...]:
    """Return the numbers of the cores to use: as many as the container's quota has, idle ones."""
    allowed = sorted(os.sched_getaffinity(0))
    quota = len(allowed)
    with suppress(OSError, ValueError):
        limit, period = _QUOTA.read_text(encoding="utf-8").split()
        quota = max(1, min(quota, int(limit) // int(period)))
    if quota == len(allowed):
        return tuple(allowed)
    before = _busy_ticks()
    time.sleep(1)
    after = _busy_ticks()
    return tuple(sorted(sorted(allowed, key=lambda core: after[core] - before[core])[:quota]))


def _busy_ticks() -> dict[int, int]:
    """Return the ticks in which each core of the host has worked."""
    ticks = {}
    for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name != "cpu":
            ticks[int(name[3:])] = sum(map(int, numbers)) - int(numbers[3]) - int(numbers[4])
    return ticks


class _Running:
    """A task's process."""

    def __init__(self, task: PinnedTask, cores: tuple[int, ...]) -> None:
        self.task, self.cores = task, cores
        self._started = time.monotonic()
        task.log.parent.mkdir(parents=True, exist_ok=True)
        pin = [sys.executable, "-c", _PIN, ",".join(map(str, cores))]
        with task.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*pin, *task.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **task.environment},
                start_new_session=True,
            )

    def poll(self) -> TaskEnd | None:
        """Return how it ended; None while it runs."""
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if not pid:
            return None
        self._process.returncode = os.waitstatus_to_exitcode(status)  # else it is waited for again
        return self._end(self._process.returncode, usage.ru_utime + usage.ru_stime)

    def stop(self) -> TaskEnd:
        """End it and its process group."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._end(None, usage.ru_utime + usage.ru_stime)

    def _end(self, exit_code: int | None, processor_s: float) -> TaskEnd:
        seconds = round(time.monotonic() - self._started, 1)
        return TaskEnd(self.task, exit_code, seconds, round(processor_s, 3), self.cores)


def run_tasks(
    tasks: Sequence[PinnedTask],
    cores: Sequence[int],
    most: int,
    until: float,
    ended: Callable[[TaskEnd], None],
) -> None:
    """Run tasks in their order, as many at once as cores allow; stop at the budget's end.

    Args:
        tasks: one whose needs failed is never started.
        cores: that they share.
        most: how many run at once.
        until: of ``time.monotonic``; what runs then is killed.
        ended: is called with each task that has run.
    """
    waiting, running, done = list(tasks), list[_Running](), set[str]()
    free = list(cores)
    try:
        while (waiting or running) and time.monotonic() < until:
            for one in list(running):
                if (end := one.poll()) is not None:
                    running.remove(one)
                    free += one.cores
                    if end.exit_code == 0:
                        done.add(one.task.name)
                    ended(end)
            for task in list(waiting):
                wanted = min(task.cores, len(cores))
                if len(running) >= most or len(free) < wanted:
                    break
                if not done.issuperset(task.needs):
                    continue
                waiting.remove(task)
                free.sort()
                taken, free = tuple(free[:wanted]), free[wanted:]
                running.append(_Running(task, taken))
            if not running:
                return  # what is left needs a task that failed
            time.sleep(_POLL_S)
    finally:
        for one in running:
            ended(one.stop())
