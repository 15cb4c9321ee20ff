"""Folders for what a job writes until it is done; those of killed processes are removed.

A process that is killed cannot remove its folder, which may hold texts. So each new work folder
removes the abandoned ones beside it. Who works in a folder holds a lock in it, which the kernel
releases when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_IN_USE = ".in-use"
# Without a lock a folder is one that is just being made, or of a version that locked none.
_ABANDONED_S = 86400.0


@contextmanager
def work_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder that is gone after the block, and remove abandoned ones of the same kind.

    Args:
        parent: the folder that gets it.
        prefix: of its name; names the kind.
    """
    remove_abandoned(parent, prefix)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as name:
        folder = Path(name)
        # It has its name once it is locked: nobody takes the folder for abandoned in between.
        with (folder / f"{_IN_USE}.new").open("w") as lock:
            with suppress(OSError):  # a file system without locks: the folder only stays longer
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / f"{_IN_USE}.new").rename(folder / _IN_USE)
            yield folder


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the folders of a kind that killed processes left in a folder."""
    for folder in parent.glob(f"{prefix}*"):
        if folder.is_dir() and not folder.is_symlink() and _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        with (folder / _IN_USE).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        with suppress(OSError):
            return time.time() - folder.stat().st_mtime > _ABANDONED_S
    except OSError:
        pass  # somebody holds it, or it may not be read
    return False
