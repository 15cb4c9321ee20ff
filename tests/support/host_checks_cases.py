"""A doctor's context, and a card that nvidia-smi tells of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.runtimes.hardware import Gpu, Hardware
from tasks.stages.check_result import CheckContext
from tests.support import docker_daemon
from tests.support.hosts import CPU

if TYPE_CHECKING:
    import pytest

H100 = Hardware((Gpu("NVIDIA H100", 81559, "570.86.15", "GPU-1"),), 16)


def run_context(runtime: str = "local", **more: Any) -> CheckContext:
    """A run of the embedded base on a machine without a GPU, but for what is given."""
    values = {
        "runtime": runtime,
        "base": "embedded",
        "image": docker_daemon.TINY,
        "store": None,
        "folder": Path.cwd(),
        "host": CPU,
        **more,
    }
    return CheckContext(**values)


def smi(monkeypatch: pytest.MonkeyPatch, folder: Path, answer: str, code: int = 0) -> None:
    """Put a stand-in for nvidia-smi first on the PATH: there is no driver here."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{answer}'\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def no_engine(monkeypatch: pytest.MonkeyPatch, address: str = "unix:///nowhere.sock") -> None:
    """Point Docker's client at an engine that is not there."""
    monkeypatch.setenv("DOCKER_HOST", address)
