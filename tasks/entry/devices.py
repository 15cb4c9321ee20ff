"""Keeps two jobs off one GPU.

A job locks a file for each GPU that it sees. The kernel drops the lock in the moment in which the
job ends, however it ends, and the lock holds between a process and a container, and between two
containers: they all see the same folder of the host.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

import torch

_EXIT_BUSY = 76
_LOOK_EVERY_S = 1.0


def hold(folder: str, wait_s: float) -> None:
    """Lock every GPU that is visible here until this process ends; exit if one stays busy.

    Args:
        folder: where the lock files lie, the same for all jobs of the host.
        wait_s: how long to wait; a job that lost its owner needs a while to end itself.
    """
    visible = range(torch.cuda.device_count())
    names = [str(torch.cuda.get_device_properties(number).uuid) for number in visible]
    lock_all(Path(folder), names, wait_s)


def lock_all(folder: Path, names: list[str], wait_s: float) -> None:
    """Lock these names, always in one order, so that two jobs never wait for each other."""
    deadline = time.monotonic() + wait_s
    for name in sorted(names):
        handle = _open(folder / f"{name}.lock")
        # The lock goes on into the program that this process may become.
        os.set_inheritable(handle, True)
        waiting = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    print(f"GpuBusy: another job holds GPU {name}", file=sys.stderr)
                    sys.exit(_EXIT_BUSY)
                if not waiting:
                    print(f"waiting for GPU {name}, which another job holds", flush=True)
                waiting = True
                time.sleep(_LOOK_EVERY_S)


def _open(path: Path) -> int:
    """Any user's job may lock the file: that takes no more than reading it."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
