"""Writes down when each phase of a job begins: of every second a job takes, what it was spent on.

Beside the request NAME.request.json lies NAME.phases.jsonl, with a line {"phase", "time"} for each
phase that begins; times are in seconds since 1970. A phase lasts until the next one begins, the
last one until the program has ended. The first is "import", from the start of the process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_TIME = 19  # of /proc/PID/stat's fields after the name: in clock ticks since the boot


def _process_start() -> float:
    """Return when this process began, in seconds since 1970; for a fork, when it was forked."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    started = int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - started)


class JobPhases:
    """The phases of this process's job."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._now = ""

    def begin(self) -> None:
        """Write the file's first line; of several ranks, the first one writes."""
        if os.environ.get("LOCAL_RANK", "0") != "0":
            return
        request = Path(sys.argv[1])
        self._path = request.with_name(request.name.removesuffix(".request.json") + ".phases.jsonl")
        self._write(self._path, "import", _process_start())

    def enter(self, name: str) -> None:
        """End the current phase and begin another, unless it is the same."""
        if self._path is not None and name != self._now:
            self._write(self._path, name, time.time())

    def _write(self, path: Path, name: str, at: float) -> None:
        with path.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"phase": name, "time": round(at, 3)}) + "\n")
        self._now = name

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Begin a phase for a while, and go on with the current one after it."""
        before = self._now
        self.enter(name)
        try:
            yield
        finally:
            self.enter(before)


_phases = JobPhases()
begin, enter, within = _phases.begin, _phases.enter, _phases.within
