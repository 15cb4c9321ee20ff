"""Processes: children that do not outlive their parent, and whether a process is still the same.

A process is known by its id and the kernel's start time, in clock ticks since boot. psutil tells
the start by the wall clock: after a correction of the clock a live process would count as another.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_GRACE_S = 15.0


def end_with_parent() -> list[str]:
    """Have the kernel end the job if this process is killed and can clean up no more."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


class GroupLeader(Protocol):
    """A process that leads a group and can be waited for."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; raise ``subprocess.TimeoutExpired`` if there is none in time."""


def stop_group(process: GroupLeader) -> None:
    """Stop a process group, with SIGKILL if SIGTERM does not end it."""
    for stop_signal in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, stop_signal)
        except ProcessLookupError:
            break  # nobody is left
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """What the kernel tells of a process.

    Attributes:
        is_zombie: it has ended, and nobody has asked for its exit code yet.
        group: the id of its process group.
        started: its start time, which a later process of the same id does not have.
    """

    is_zombie: bool
    group: int
    started: str


def process_status(pid: int) -> ProcessStatus | None:
    """Return the status of a process; None if there is no process of this id."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name before the last bracket is any bytes that the program chose.
    fields = stat.rpartition(b")")[2].decode("ascii").split()
    return ProcessStatus(fields[0] == "Z", int(fields[2]), fields[19])


def group_lives(group: int) -> bool:
    """Return whether any process of the group still runs."""
    ids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    found = (process_status(pid) for pid in ids)
    return any(
        status is not None and status.group == group and not status.is_zombie for status in found
    )
