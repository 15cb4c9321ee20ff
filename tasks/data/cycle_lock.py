"""Lock a cycle's folder for one run at a time, on this host and between hosts."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.common.parameter_names import assignment
from tasks.data.purge_journal import JOURNAL_NAME, is_purging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tasks.data.cycle_folder import Cycle

LOCK_NAME = ".asr-flywheel.lock"
"""Beside the cycles; empty, and never removed: who waits for it has it open."""
_LOOK_EVERY_S = 1.0
_LOCKS = Path("/proc/locks")
_SHOWN_COMMAND = 120


class CycleBusyError(InputError):
    """A cycle that another run works on."""


@contextmanager
def lock_cycle(
    cycle: Cycle,
    on_wait: Callable[[], None] | None = None,
    *,
    following: bool = False,
    purging: bool = False,
    can_wait: bool = False,
) -> Iterator[None]:
    """Lock a cycle's folder for this run; the kernel releases the lock if the process dies.

    Two locks: one of the folder itself, which holds on this host, by whatever link the folder was
    reached; and the cycle's byte in a file beside it, which holds between hosts too (NFS passes on
    locks of bytes in files, but not those of folders).

    Args:
        cycle: whose folder.
        on_wait: is called once before waiting for another run; None: do not wait.
        following: keep cycle N+1 too, because results are written there.
        purging: whether it is a purge that asks; all else waits for a purge to be finished.
        can_wait: whether who asks has the parameter ``when_busy``.

    Raises:
        CycleBusyError: another run works on one of them, and this one shall not wait.
        InputError: a purge was interrupted.
    """
    with ExitStack() as open_files:
        locks = [_folder_lock(cycle, open_files)]
        if (bytes_lock := _bytes_lock(cycle, 2 if following else 1, open_files)) is not None:
            locks.append(bytes_lock)
        if not _take_locks(locks):
            if on_wait is None:
                raise _busy(cycle, following=following, can_wait=can_wait)
            on_wait()
            while not _take_locks(locks):
                time.sleep(_LOOK_EVERY_S)
        if not purging and is_purging(cycle.path.parent):
            raise InputError(
                f"{cycle.path.parent / JOURNAL_NAME}: a purge was interrupted, and the cycles are "
                "not whole. Fix: give the same `asr-flywheel purge` command again, which ends it."
            )
        yield


def _busy(cycle: Cycle, *, following: bool, can_wait: bool) -> CycleBusyError:
    """Return the error about a busy cycle, with who holds it where that can be known."""
    # A run of the cycle before holds this one too, and one of the next what this one writes.
    neighbours = (-1, 1) if following else (-1,)
    beside = [cycle.path.parent / f"cycle{cycle.number + step}" for step in neighbours]
    holders = _holders([cycle.path]) or _holders(beside)
    held = f" ({'; '.join(holders)})" if holders else ""
    wait = "give this command again when it is done"
    if can_wait:
        wait = f"wait for it with {assignment('when_busy', 'wait')}"
    return CycleBusyError(
        f"{cycle.path}: another run works on this cycle{' or on the next one' if following else ''}"
        f"{held}, and two would write the same files. Fix: {wait}, or end the other one first."
    )


def _holders(folders: Iterable[Path]) -> list[str]:
    """Return the processes that hold folders, with their commands.

    Nothing is known of a process of another host, or of one that this one may not see.
    """
    holders = []
    try:
        facts = [folder.stat() for folder in folders if folder.is_dir()]
        places = {
            f"{os.major(fact.st_dev):02x}:{os.minor(fact.st_dev):02x}:{fact.st_ino}"
            for fact in facts
        }
        for line in _LOCKS.read_text(encoding="ascii").splitlines():
            _, kind, _, _, pid, place, *_ = line.split()
            if kind == "FLOCK" and place in places:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                command = b" ".join(words).decode(errors="replace").strip()
                holders.append(f"process {pid}: {command[:_SHOWN_COMMAND]}")
    except (OSError, ValueError):
        pass  # another system's table, or a process that has just ended
    return holders


@dataclass(frozen=True, slots=True)
class _Lock:
    """A lock of the kernel as two functions, to take it and to release it."""

    take: Callable[[], object]
    give_back: Callable[[], object]


def _folder_lock(cycle: Cycle, open_files: ExitStack) -> _Lock:
    # The folder itself is locked, so that nothing is written into it.
    handle = os.open(cycle.path, os.O_RDONLY)
    open_files.callback(os.close, handle)
    return _Lock(
        lambda: fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB),
        lambda: fcntl.flock(handle, fcntl.LOCK_UN),
    )


def _bytes_lock(cycle: Cycle, cycles: int, open_files: ExitStack) -> _Lock | None:
    """Return the lock of byte N (and N+1) of a file beside the cycles; None if none can be made."""
    try:
        handle = os.open(cycle.path.parent / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return None
    open_files.callback(os.close, handle)

    def ask(kind: int) -> None:
        # Of the open file and not of the process: two claims of one process exclude each other.
        lock_request = struct.pack("hhqqi4x", kind, os.SEEK_SET, cycle.number, cycles, 0)
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, lock_request)

    return _Lock(lambda: ask(fcntl.F_WRLCK), lambda: ask(fcntl.F_UNLCK))


def _take_locks(locks: Sequence[_Lock]) -> bool:
    """Take all locks, or none."""
    taken_locks: list[_Lock] = []
    for lock in locks:
        try:
            lock.take()
        except BlockingIOError:
            for other in taken_locks:
                other.give_back()
            return False
        taken_locks.append(lock)
    return True
