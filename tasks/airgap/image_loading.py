"""Load a bundled image into the engine that is here: Docker's, or Podman's.

By their command lines: where this runs first, no client library is installed yet.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tasks.common.errors import FlywheelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCKER, SQUASHFS = "docker", "squashfs"
FORMATS = (DOCKER, SQUASHFS)
_ENGINES = ("docker", "podman")
_ANSWER_S = 60


def find_engine() -> str | None:
    """Return the program of an engine that answers, or None."""
    for name in _ENGINES:
        program = shutil.which(name)
        if program and _answer([program, "info"]) is not None:
            return program
    return None


def find_id(program: str, image: str) -> str:
    """Return the id of an image in the engine, or ""."""
    return _answer([program, "image", "inspect", "--format", "{{.Id}}", image]) or ""


def load(image: str, read: Callable[[], Iterator[bytes]], report: Callable[[str], None]) -> str:
    """Load an image's archive from its bytes; return its id, or "" where no engine is here.

    Raises:
        FlywheelError: the engine refused it.
    """
    program = find_engine()
    if program is None:
        report(
            f"{image}: not loaded, since no Docker Engine and no Podman answer here. Install the "
            "bundle once more when one does"
        )
        return ""
    with subprocess.Popen(
        [program, "load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        try:
            for chunk in read():
                process.stdin.write(chunk)
        except BrokenPipeError:
            pass  # its own words follow
        finally:
            said, _ = process.communicate()
    number = find_id(program, image)
    if process.returncode or not number:
        raise FlywheelError(
            f"{image}: {program} load refused it: {said.decode(errors='replace').strip()[-500:]}. "
            "Fix: free space on the engine's disk, or update the engine, and install once more."
        )
    report(f"{image}: loaded as {number[:19]}")
    return number


def _answer(line: list[str]) -> str | None:
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
