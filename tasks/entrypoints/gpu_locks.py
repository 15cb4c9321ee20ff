"""GPU capabilities, and locks that keep two jobs off one GPU.

A job locks a file for each GPU that it sees. The kernel drops the lock in the moment in which the
job ends, however it ends, and the lock holds between a process and a container, and between two
containers: they all see the same folder of the host.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import sys
import time
from pathlib import Path

import torch

_EXIT_BUSY = 76
_LOOK_EVERY_S = 1.0
# Ampere; older ones compute bf16 by emulation at best.
_BF16_CAPABILITY = 8
# NeMo's decoders want conditional nodes in CUDA graphs; with older drivers validation figures have
# been reported that were garbage.
_GRAPHS_DRIVER = (12, 6)


def require(precision: str) -> None:
    """Make sure that there is a GPU and that it computes as asked, before anything is loaded.

    Raises:
        SystemExit: there is none that CUDA can use, or one of them has no bf16.
    """
    if not torch.cuda.is_available():
        # Why, such as a driver that is too old, stands in the log as a warning of torch's.
        sys.exit("NoUsableGpu: CUDA finds no GPU that it can use here")
    if precision.startswith("bf16"):
        for number in range(torch.cuda.device_count()):
            major, minor = torch.cuda.get_device_capability(number)
            if major < _BF16_CAPABILITY:
                name = torch.cuda.get_device_name(number)
                sys.exit(f"{name} (compute capability {major}.{minor}) does not support bf16")


def driver_cuda() -> tuple[int, int]:
    """Return the newest CUDA that the driver is for; torch tells only its own."""
    version = ctypes.c_int()
    ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    return version.value // 1000, version.value % 1000 // 10


def graphs_allowed() -> bool | None:
    """Return whether the driver is new enough for decoding by CUDA graphs; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    driver = driver_cuda()
    if driver >= _GRAPHS_DRIVER:
        return True
    print(
        f"warning: the driver is for CUDA {driver[0]}.{driver[1]}, and decoding by CUDA graphs "
        f"wants {_GRAPHS_DRIVER[0]}.{_GRAPHS_DRIVER[1]}: validation decodes without them",
        flush=True,
    )
    return False


def hold(folder: str, wait_s: float) -> None:
    """Lock every GPU that is visible here until this process ends; exit if one stays busy.

    Args:
        folder: where the lock files lie, the same for all jobs of the host.
        wait_s: how long to wait; a job that lost its owner needs a while to end itself.
    """
    lock_all(Path(folder), names(), wait_s)


def names() -> list[str]:
    """Return the UUIDs of the GPUs that are visible here."""
    visible = range(torch.cuda.device_count())
    return [str(torch.cuda.get_device_properties(number).uuid) for number in visible]


def lock_all(folder: Path, gpus: list[str], wait_s: float) -> None:
    """Lock these UUIDs, always in one order, so that two jobs never wait for each other."""
    deadline = time.monotonic() + wait_s
    for name in sorted(gpus):
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
    """Open the lock file for any user's job: to lock it takes no more than reading."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
