"""Environments that hold one version of NeMo each, made from PyPI and kept.

    python -m benchmarks.environments 2.6.2 [--python 3.11] [--folder .matrix]

prints the interpreter of such an environment; ASR_FLYWHEEL_NEMO_PYTHON takes it. It holds NeMo,
PyTorch and pytest, not this project: NeMo 2.x and the project want different versions of jiwer.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import hashing
from tasks.common.errors import FlywheelError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(".matrix")
_ROOT = Path(__file__).resolve().parents[1]
# The last one with which 2.x was released fails with PyTorch 2.13.
_LHOTSE = "lhotse==1.33.0"
_TESTS = ("pytest", "pytest-timeout", "hypothesis", "rapidfuzz")
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Environment:
    """One version of NeMo on one version of Python.

    Attributes:
        nemo: the version of nemo_toolkit.
        minor: Python's, such as 3.11.
        folder: that holds all environments.
    """

    nemo: str
    minor: str
    folder: Path

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d+\.\d+\.\d+", self.nemo):
            raise InputError(f"{self.nemo!r} is no version of NeMo. Fix: give one such as 2.6.2.")

    @property
    def name(self) -> str:
        """The name of the environment's own folder."""
        return f"nemo-{self.nemo}-py{self.minor}"

    @property
    def python(self) -> Path:
        """The path of its interpreter."""
        return self.folder.absolute() / self.name / "bin" / "python"

    @property
    def constraints(self) -> Path:
        """The pinned set: the project's own, or the one for NeMo 2.x."""
        old = self.nemo.startswith("2.")
        return _ROOT / ("constraints-nemo2.txt" if old else "constraints.txt")

    @property
    def steps(self) -> tuple[tuple[str, ...], ...]:
        """Arguments of the environment's interpreter, in turn."""
        pip = ("-m", "pip", "install", "--quiet")
        uv = ("-m", "uv", *pip[1:])
        constraint = ("--constraint", str(self.constraints))
        nemo = f"nemo_toolkit[asr]=={self.nemo}"
        # PyTorch first: a resolver that may choose it takes gigabytes of another release.
        torch = (*pip, *constraint, "uv", "torch==2.13.0")
        # Its modules are compiled once: an image's files are not written to.
        compiled = ("-c", "import nemo.collections.asr")
        if self.nemo.startswith("2."):
            # 2.6.2 asks for another lhotse, so that it cannot be asked for in one step.
            lhotse = (*uv, "--no-deps", _LHOTSE)
            return torch, (*uv, *constraint, nemo, *_TESTS), lhotse, compiled
        return torch, (*uv, *constraint, nemo, "numpy<2.5", *_TESTS), compiled

    def make(self) -> float:
        """Install it, unless that was done with the same pins.

        Returns:
            The seconds that it took; 0 for one that was there.

        Raises:
            InputError: there is no such Python.
            InstallError: pip or uv fails, or NeMo cannot be imported.
        """
        pins = hashing.fingerprint([*map(str, self.steps), hashing.sha256_file(self.constraints)])
        home = self.python.parents[1]
        stamp = home / f".installed-{pins[:16]}"
        if stamp.is_file():
            return 0.0
        started = time.monotonic()
        if not self.python.exists():
            home.parent.mkdir(parents=True, exist_ok=True)
            self._run(str(find_python(self.minor)), "-m", "venv", str(home))
        for old in home.glob(".installed-*"):
            old.unlink()
        for step in self.steps:
            self._run(str(self.python), *step)
        stamp.touch()
        return time.monotonic() - started

    def versions(self) -> dict[str, str]:
        """Return the versions of packages that figures could depend on."""
        listed = self._run(str(self.python), "-m", "pip", "list", "--format=freeze")
        by_name = dict(line.split("==", 1) for line in listed.splitlines() if "==" in line)
        names = ("torch", "numpy", "lhotse", "lightning", "librosa", "soundfile", "sentencepiece")
        return {name: by_name[name] for name in names}

    def _run(self, *line: str) -> str:
        # A path of this process's own would put other packages into that environment.
        left_out = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
        clean = {name: value for name, value in os.environ.items() if name not in left_out}
        process = subprocess.run(
            line, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if process.returncode:
            tail = "\n".join(f"{process.stdout}{process.stderr}".splitlines()[-_TAIL_LINES:])
            raise InstallError(f"{self.name}: {' '.join(line[1:])} failed:\n{tail}")
        return process.stdout


class InstallError(FlywheelError):
    """An environment could not be made."""


def find_python(minor: str) -> Path:
    """Find an interpreter of this minor version, on PATH or where version managers keep theirs.

    Raises:
        InputError: there is none.
    """
    for candidate in _candidates(minor):
        # A version manager's shim is on PATH also where that version is not chosen.
        probe = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
        try:
            answer = subprocess.run(
                [str(candidate), "-c", probe], capture_output=True, text=True, check=False
            )
        except OSError:
            continue
        if answer.stdout.strip() == minor:
            return candidate
    raise InputError(
        f"python{minor}: not on PATH nor among pyenv's or uv's. Fix: install it, or choose "
        "another with --python."
    )


def _candidates(minor: str) -> Iterator[Path]:
    name = f"python{minor}"
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    for managed in (pyenv, data / "uv" / "python"):
        yield from sorted(managed.glob(f"*/bin/{name}"), reverse=True)


def main() -> int:
    """Make one and print its interpreter."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("nemo", help="version of nemo_toolkit, such as 2.6.2")
    parser.add_argument("--python", default="3.11", help="minor version")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where environments are kept")
    args = parser.parse_args()
    try:
        environment = Environment(args.nemo, args.python, args.folder)
        environment.make()
    except FlywheelError as error:
        print(error, file=sys.stderr)
        return 1
    print(environment.python)
    return 0


if __name__ == "__main__":
    sys.exit(main())
