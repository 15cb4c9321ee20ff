"""The stub programs in the place of NeMo's: for tests of what happens around a stage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.runtimes.base import ENTRY, ENTRYPOINTS_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

STUB = Path(__file__).with_name("stub_entrypoints")
ENVIRONMENT = {ENTRYPOINTS_VARIABLE: str(STUB)}
"""The setting by which every stage runs the stub, not NeMo."""
HOLD_TRAINING = "hold_training"
HOLD_DECODING = "hold_decoding"
"""Files in a cycle's folder that keep the stub at work while they are there."""
FORGOTTEN = "forgotten"
"""A file in a set's folder whose sentences a model forgets that was tuned without any of them."""


def own_programs(folder: Path, **programs: str) -> Path:
    """Make a folder of this project's entry programs, some of which are replaced.

    Args:
        folder: is made.
        programs: the text of a program, by its name without ".py".
    """
    shutil.copytree(ENTRY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in programs.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def run_command(
    folder: Path, *arguments: str, programs: Path = STUB
) -> subprocess.CompletedProcess[str]:
    """Run asr-flywheel in a folder, with these entry programs and a Prefect home of its own."""
    return subprocess.run(
        [sys.executable, "-m", "asr_flywheel", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=folder,
        env={
            **os.environ,
            ENTRYPOINTS_VARIABLE: str(programs),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        },
    )


@contextmanager
def held(cycle: Path, name: str = HOLD_TRAINING) -> Iterator[None]:
    """Keep the stub at training, or at decoding, of a cycle while the block runs."""
    flag = cycle / name
    flag.touch()
    try:
        yield
    finally:
        flag.unlink(missing_ok=True)
