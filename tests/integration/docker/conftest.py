"""What nothing of a test stays in: an engine, a launcher of shell scripts, a shared container."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tasks.runtimes import container_sharing, docker_engine, program_server
from tasks.runtimes.base import ENTRYPOINTS_VARIABLE
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.hardware import Hardware
from tests.support import docker_daemon, shared_containers, stub_programs
from tests.support.shared_containers import SharedPlace
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


@pytest.fixture
def shared_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedPlace]:
    """A folder for a run whose image is a Python without packages; no container stays."""
    client = docker_daemon.client()
    monkeypatch.delenv(program_server.SEPARATE_VARIABLE, raising=False)
    programs = stub_programs.own_programs(
        tmp_path / "entry",
        program_server=shared_containers.without_libraries(),
        transcribe=shared_containers.SAYS,
    )
    monkeypatch.setenv(ENTRYPOINTS_VARIABLE, str(programs))
    settings = ContainerSettings(image=docker_daemon.python_image(client, "shared", {}))
    folder = tmp_path / "a folder of 'cycles', $HOME" / "cycle1"
    folder.mkdir(parents=True)
    made = SharedPlace(folder, ContainerRuntime(settings, Hardware((), 2)), client)
    yield made
    container_sharing.close(folder)
    assert list(folder.glob(".container-*")) == []
    assert docker_engine.orphans(client, {"cycle": str(folder)}) == []
    assert docker_engine.orphans(client, shared_containers.LABELS) == []
