"""The container runtime on a real engine, with an image that stands in for NVIDIA's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import ImageNotFound

from asr_flywheel.demo.benchmark import synthesise_cycle
from tasks import bases, engine, hardware, sft, stages
from tasks.container import ContainerRuntime, ContainerSettings
from tasks.cycle import Cycle, open_cycle
from tasks.hardware import Hardware
from tasks.recipes import Recipe
from tasks.runtime import LocalRuntime
from tests import engines
from tests.needs import require

if TYPE_CHECKING:
    from tasks.training_set import TrainingSet

NASTY = "clinic $HOME ${x} 'a' \"b\", c=d [e] {f} é #&;"


@pytest.fixture(scope="module")
def client() -> Any:
    """The engine, with the stand-in image in it."""
    found = engines.client()
    try:
        found.images.get(engines.STANDIN)
        present = True
    except ImageNotFound:
        present = False
    require("standin-image", present=present, how="`make standin-image`")
    return found


@pytest.fixture(scope="module")
def cycle(tmp_path_factory: pytest.TempPathFactory) -> Cycle:
    """The embedded benchmark in a folder whose name is full of metacharacters."""
    folder = tmp_path_factory.mktemp("containers") / NASTY / "cycle1"
    synthesise_cycle(folder)
    return open_cycle(folder)


@pytest.fixture(scope="module")
def data(cycle: Cycle) -> TrainingSet:
    """Its split."""
    checked = stages.check(cycle, bases.embedded_path(), Recipe())
    return stages.split(cycle, checked, 0.2, 42)


def container() -> ContainerRuntime:
    """The stand-in image on the CPU."""
    settings = ContainerSettings(image=engines.STANDIN, abandoned_after_s=20)
    return ContainerRuntime(settings, Hardware((), 2))


def request_for(cycle: Cycle, data: TrainingSet, name: str, epochs: int) -> sft.SftRequest:
    """A tuning run of the embedded base."""
    return sft.SftRequest(
        base=bases.embedded_path(),
        base_name="embedded",
        data=data,
        recipe=Recipe(epochs=epochs),
        model_dir=cycle.path / "models" / name,
        audio_roots=(cycle.path,),
        key=name,
        labels={"cycle": str(cycle.path), "run": name},
    )


def test_container_and_local_runtime_train_the_same(
    client: Any, cycle: Cycle, data: TrainingSet, tmp_path: Path
) -> None:
    """The same overrides and seed give the same validation WER, in folders of any name."""
    local_cycle = open_cycle(shutil.copytree(cycle.path, tmp_path / NASTY / "cycle1"))
    checked = stages.check(local_cycle, bases.embedded_path(), Recipe())
    here = sft.train(
        request_for(local_cycle, stages.split(local_cycle, checked, 0.2, 42), "local", 1),
        LocalRuntime(hardware.detect()),
        lambda _: None,
    )
    inside = sft.train(request_for(cycle, data, "inside", 1), container(), lambda _: None)
    assert [epoch.val_wer for epoch in inside.epochs] == [epoch.val_wer for epoch in here.epochs]
    info = json.loads(inside.info.read_text())
    assert info["runtime"]["image"].startswith("sha256:")
    assert inside.model.stat().st_uid == os.getuid()
    assert engine.orphans(client, {}) == []


KILLED = """
import sys
from pathlib import Path
from tests.test_container_training import container, request_for
from tasks import sft, stages, bases
from tasks.cycle import open_cycle
from tasks.recipes import Recipe
cycle = open_cycle(Path(sys.argv[1]))
checked = stages.check(cycle, bases.embedded_path(), Recipe())
data = stages.split(cycle, checked, 0.2, 42)
report = lambda now: print(now.epoch, flush=True)
sft.train(request_for(cycle, data, "killed", 2), container(), report)
"""


def test_a_killed_worker_costs_no_trained_epoch(
    client: Any, cycle: Cycle, data: TrainingSet
) -> None:
    """After kill -9 the next run removes the orphan and goes on from the last checkpoint."""
    request = request_for(cycle, data, "killed", 2)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(cycle.path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            if line.strip() == "1":
                break
        worker.send_signal(signal.SIGKILL)
    assert not (request.model_dir / sft.MODEL_NAME).exists()
    result = sft.train(request, container(), lambda _: None)
    info = json.loads(result.info.read_text())
    # 195 rows in batches of 4 are 49 steps: the first epoch was not trained again.
    assert [start["step"] for start in info["starts"]] == [0, 49]
    assert [epoch.epoch for epoch in result.epochs] == [0, 1]
    assert engine.orphans(client, {}) == []


def test_a_container_without_owner_ends_itself(
    client: Any, cycle: Cycle, data: TrainingSet
) -> None:
    """Nobody is left to stop it, and yet it is not running for long."""
    request = request_for(cycle, data, "abandoned", 50)
    program = KILLED.replace('"killed", 2', '"abandoned", 50').replace("now.epoch", "now.batch")
    with subprocess.Popen(
        [sys.executable, "-c", program, str(cycle.path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            if line.strip() not in {"", "0"}:
                break
        worker.send_signal(signal.SIGKILL)
    (orphan,) = engine.orphans(client, request.labels)
    deadline = time.monotonic() + 60
    while orphan.status == "running" and time.monotonic() < deadline:
        time.sleep(1)
        orphan.reload()
    assert orphan.status == "exited"
    assert orphan.attrs["State"]["ExitCode"] == 75
    engine.remove(orphan)
    shutil.rmtree(request.work_dir)
