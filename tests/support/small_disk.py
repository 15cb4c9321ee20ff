"""A small file system in memory in the place of a folder, and how it is filled."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.support.needs import find

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILLER = "filler"


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """Have a file system of this size on an empty folder while the block runs."""
    mount = [str(find("mount")), "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run([str(find("umount")), str(folder)], check=True)


def fill(folder: Path) -> None:
    """Write until nothing more can be written."""
    with (folder / FILLER).open("ab", buffering=0) as out, suppress(OSError):
        while True:
            out.write(bytes(1 << 12))
