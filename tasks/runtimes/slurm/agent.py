"""Runs on the node, in the job: starts the programs that a run asks for, one after the other.

One job serves all stages of a run, so that it waits in Slurm's queue once, and NeMo is imported
once where no GPU is used. It ends by itself: when the run says so, when it has had nothing to do
for a while, when nobody touches the heartbeat any more, and when Slurm has started the job again.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.common.errors import is_disk_full
from tasks.common.processes import stop_group
from tasks.runtimes import program_server
from tasks.runtimes.program_server import ServerGoneError
from tasks.runtimes.slurm.spool import EXIT_ABANDONED, EXIT_FULL, Spool, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.runtimes.program_server import ServedProgram

_LOOK_EVERY_S = 0.1
_NO_PROGRAM = 127  # as a shell tells it
_BEAT_EVERY_S = 2.0
_SIGNAL_S = 3.0
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h
# Lightning takes a program that finds these for a rank that srun has started, and Slurm's signals
# for its own.
_OF_SLURM = ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_")
_KEPT = frozenset({"SLURM_CONF"})


class NobodyWaitsError(Exception):
    """The run is gone, or Slurm runs this job elsewhere."""


@dataclass(slots=True)
class Heartbeat:
    """A heartbeat as this node sees it, by its own clock.

    Attributes:
        spool: of the job.
        limit_s: how long it may stay as it is.
        restart: how often Slurm had started the job again when this agent began.
    """

    spool: Spool
    limit_s: float
    restart: int
    _last: float = 0.0
    _seen: float = 0.0
    _looked: float = 0.0

    def check(self) -> None:
        """Look at it, now and then.

        Raises:
            NobodyWaitsError: it is gone, or was left alone for too long.
        """
        now = time.monotonic()
        if now - self._looked < _BEAT_EVERY_S:
            return
        self._looked = now
        self.require_newest()
        try:
            beat = self.spool.heartbeat.stat().st_mtime
        except FileNotFoundError:
            raise NobodyWaitsError("the heartbeat is gone") from None
        # Clocks of node and file server may differ; that it changes is what counts.
        if beat != self._last:
            self._last, self._seen = beat, now
        elif now - self._seen > self.limit_s:
            raise NobodyWaitsError(f"nobody has waited for this job for {now - self._seen:.0f} s")

    def require_newest(self) -> None:
        """Make sure that Slurm has not started the job again, on a node that sees the same files.

        Raises:
            NobodyWaitsError: it has.
        """
        try:
            newest = int(self.spool.restart.read_text(encoding="utf-8") or 0)
        except FileNotFoundError:
            raise NobodyWaitsError("the job's folder is gone") from None
        if newest > self.restart:
            raise NobodyWaitsError("Slurm has started this job again")


def serve(spool: Spool, abandoned_after_s: float, idle_release_s: float) -> int:
    """Run the tasks of a spool until the job has to end; return the exit code."""
    restart = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    atomic_files.write_text(spool.restart, str(restart))
    beat = Heartbeat(spool, abandoned_after_s, restart)
    number = 1
    idle_since = time.monotonic()
    try:
        while True:
            if spool.end.exists():
                return 0
            if spool.exit_code(number) is not None:  # of the job's earlier start
                number += 1
                continue
            task = spool.take(number)
            if task is not None:
                _run(spool, number, task, beat)
                number += 1
                idle_since = time.monotonic()
                continue
            if not spool.heartbeat.exists():
                return EXIT_ABANDONED
            if time.monotonic() - idle_since > idle_release_s:
                _say(f"released: no stage for {idle_release_s:.0f} s")
                return 0
            time.sleep(_LOOK_EVERY_S)
    except NobodyWaitsError as gone:
        _say(f"abandoned: {gone}")
        return EXIT_ABANDONED
    finally:
        program_server.close_all()


def _run(spool: Spool, number: int, task: Task, beat: Heartbeat) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(_OF_SLURM)
    } | dict(task.environment)
    with Path(task.log).open("ab") as log:
        try:
            process = _start(task, environment, log.fileno())
        except (FileNotFoundError, PermissionError) as wrong:
            log.write(f"{task.argv[0]}: does not start on this node: {wrong}\n".encode())
            atomic_files.write_text(spool.ended(number), json.dumps({"exit": _NO_PROGRAM}))
            return
        try:
            spool.begun(number).touch()
            while (exit_code := process.poll()) is None:
                beat.check()
                time.sleep(_LOOK_EVERY_S)
            if exit_code:
                # Slurm ends all of a job's processes together: then this is no end of the task. Its
                # signal may reach the program first, whose code then says nothing: torchrun, or a
                # program whose worker was ended, exits with 1.
                time.sleep(_SIGNAL_S)
        finally:
            stop_group(process)
    beat.require_newest()
    atomic_files.write_text(spool.ended(number), json.dumps({"exit": exit_code}))


def _start(
    task: Task, environment: Mapping[str, str], log: int
) -> subprocess.Popen[bytes] | ServedProgram:
    if task.served_by:
        with suppress(ServerGoneError):  # the program itself tells why NeMo cannot be imported
            program = program_server.start(
                task.served_by, environment, task.argv[1:], task.cwd, log
            )
            while not program.has_begun(_LOOK_EVERY_S):
                pass
            return program
    return subprocess.Popen(
        task.argv,
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=dict(environment),
        cwd=task.cwd,
        start_new_session=True,
        preexec_fn=_end_with_parent,  # noqa: PLW1509 - this process has no threads
    )


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _say(line: str) -> None:
    with suppress(OSError):  # the log is on a disk that may be full
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def main() -> None:
    """Serve the spool that the arguments name."""
    # Slurm's polite signal, at the time limit and for a cancelled job.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(-signal.SIGTERM & 0xFF))
    folder, abandoned_after_s, idle_release_s = sys.argv[1:]
    try:
        sys.exit(serve(Spool(Path(folder)), float(abandoned_after_s), float(idle_release_s)))
    except OSError as wrong:
        if not is_disk_full(wrong):
            raise
        _say(f"the disk is full: {wrong}")
        sys.exit(EXIT_FULL)
