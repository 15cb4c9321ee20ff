"""An engine in which nothing of a test stays, and a launcher that does what a test wants."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tasks.runtimes import docker_engine
from tasks.runtimes.base import ENTRYPOINTS_VARIABLE
from tests.support import docker_daemon, stub_programs
from tests.support.shell_launchers import LABELS, PROBE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def clean_engine() -> Iterator[Any]:
    """The engine; nothing of the test stays in it."""
    found = docker_daemon.client()
    yield found
    assert docker_engine.orphans(found, LABELS) == []


@pytest.fixture
def play_launcher(
    tmp_path: Path, lower_nemo: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Put a shell script in the launcher's place."""
    entry = stub_programs.own_programs(tmp_path / "entry", image_probe=PROBE)
    shutil.copy(lower_nemo, entry / "model.nemo")
    monkeypatch.setenv(ENTRYPOINTS_VARIABLE, str(entry))

    def write(script: str) -> None:
        (entry / "launch_training.py").write_text(script)

    return write
