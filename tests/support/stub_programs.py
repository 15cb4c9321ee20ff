"""The stub programs in the place of NeMo's: for tests of what happens around a stage."""

from __future__ import annotations

import io
import os
import shutil
import sys
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from asr_flywheel import cli
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


@dataclass(frozen=True)
class CommandResult:
    """What a command of this program answered."""

    returncode: int
    stdout: str
    stderr: str


def run_command(folder: Path, *arguments: str, programs: Path = STUB) -> CommandResult:
    """Run asr-flywheel in a folder, with these entry programs, in the test's own process.

    All runs of a process share the Prefect server that the first one starts, as several runs of a
    program would: a server costs more of the processor than a run of the stub programs. Runs
    that are a process are tested elsewhere, such as the demo and the whole cycle.
    """
    written, complained = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        chdir(folder),
        # The program sets some variables for its whole process.
        patch.dict(os.environ, {ENTRYPOINTS_VARIABLE: str(programs)}),
        patch.object(sys, "argv", ["asr-flywheel", *arguments]),
        redirect_stdout(written),
        redirect_stderr(complained),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
    return CommandResult(int(str(code or 0)), written.getvalue(), complained.getvalue())


@contextmanager
def held(cycle: Path, name: str = HOLD_TRAINING) -> Iterator[None]:
    """Keep the stub at training, or at decoding, of a cycle while the block runs."""
    flag = cycle / name
    flag.touch()
    try:
        yield
    finally:
        flag.unlink(missing_ok=True)
