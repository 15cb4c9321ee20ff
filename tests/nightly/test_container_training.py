"""A container with a slow clock: nobody waits for it any more."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks.runtimes import docker_engine
from tests.support import docker_daemon
from tests.support.container_training_cases import (
    NASTY,
    few_rows,
    nasty_cycle,
    request_for,
    split_of,
)

if TYPE_CHECKING:
    from tasks.data.cycle_folder import Cycle
    from tasks.data.training_set import TrainingSet


@pytest.fixture(scope="module")
def client() -> Any:
    """The engine, with the stand-in image in it."""
    return docker_daemon.with_standin()


@pytest.fixture(scope="module")
def more_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second folder of audio."""
    folder = tmp_path_factory.mktemp("more") / NASTY
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, more_audio: Path) -> Cycle:
    """A cycle with awkward names and paths."""
    return nasty_cycle(tmp_path_factory.mktemp("containers") / NASTY / "cycle1", more_audio)


@pytest.fixture(scope="module")
def cycle(whole: Cycle) -> Cycle:
    """A few rows of it: for what needs no gate."""
    return few_rows(whole)


@pytest.fixture(scope="module")
def roots(whole: Cycle, more_audio: Path) -> tuple[Path, ...]:
    """Where audio lies besides the cycle's folder."""
    return more_audio, whole.path


@pytest.fixture(scope="module")
def data(cycle: Cycle, roots: tuple[Path, ...]) -> TrainingSet:
    """Its split."""
    return split_of(cycle, roots)


ABANDONED = """
import sys
from pathlib import Path
from tests.support.container_training_cases import container
from tests.support.container_training_cases import request_for
from tasks.data.cycle_folder import open_cycle
from tasks.models import catalog
from tasks.stages import prepare
from tasks.training import sft
from tasks.training.recipes import Recipe

cycle, roots = open_cycle(Path(sys.argv[1])), tuple(map(Path, sys.argv[2:]))
checked = prepare.check(cycle, catalog.embedded_path(), Recipe(), roots)
data = prepare.split(cycle, checked, 0.2, 42)
report = lambda now: print(now.batch, flush=True)
sft.train(request_for(cycle, data, roots, "abandoned", 50), container(), report)
"""


def test_a_container_without_owner_ends_itself(
    client: Any, cycle: Cycle, data: TrainingSet, roots: tuple[Path, ...]
) -> None:
    """Nobody is left to stop it, and yet it is not running for long."""
    request = request_for(cycle, data, roots, "abandoned", 50)
    with subprocess.Popen(
        [sys.executable, "-c", ABANDONED, str(cycle.path), *map(str, roots)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            if line.strip() not in {"", "0"}:
                break
        worker.send_signal(signal.SIGKILL)
    (orphan,) = docker_engine.orphans(client, request.labels)
    deadline = time.monotonic() + 60
    while orphan.status == "running" and time.monotonic() < deadline:
        time.sleep(1)
        orphan.reload()
    assert orphan.status == "exited"
    assert orphan.attrs["State"]["ExitCode"] == 75
    docker_engine.remove(orphan)
    shutil.rmtree(request.work_dir)
