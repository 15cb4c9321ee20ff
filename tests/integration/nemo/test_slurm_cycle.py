"""The demo's cycle with NeMo through a real Slurm of this machine, and beside it a run here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from asr_flywheel.demo.dataset import plan_cycle, synthesise_cycle
from tasks.common import atomic_files
from tasks.data.cycle_folder import open_cycle
from tasks.runtimes.base import ENTRYPOINTS_VARIABLE
from tasks.stages import evaluate
from tests.support import slurm_cluster, slurm_image, stub_programs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def spoken_cycle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every second row of the demo's cycle, spoken, with a baseline that lets it pass the gate."""
    folder = tmp_path_factory.mktemp("spoken") / "cycle1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asr_flywheel.demo.dataset.plan_cycle", lambda seed: plan_cycle(seed)[::2])
        synthesise_cycle(folder)
        for name, value in stub_programs.ENVIRONMENT.items():
            patch.setenv(name, value)
        evaluate.transcribe_baseline(open_cycle(folder), "embedded", None, (), print)
    return folder


def run_in(folder: Path, cycle: Path, *options: str) -> dict[str, Any]:
    """Run a copy of the cycle; return what the record says of training, and the decision."""
    copy = shutil.copytree(cycle, folder / "cycle1")
    done = subprocess.run(
        [
            sys.executable, "-m", "asr_flywheel", "run", "cycle1", "--base", "embedded",
            "--general", "none", "--variants", "1", "--interpolate", "off", "--epochs", "1",
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if name != ENTRYPOINTS_VARIABLE},
            "PREFECT_HOME": str(folder / "prefect"),
            # Another number of threads adds up in another order; more than cores take for ever.
            "OMP_NUM_THREADS": "1",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (info,) = copy.glob("models/*/training_run_info.json")
    decision = atomic_files.read_json(folder / "cycle2" / "decision.json")
    epochs = atomic_files.read_json(info)["epochs"]
    return {
        "validation WER": [epoch["val_wer"] for epoch in epochs],
        "decision": decision["decision"],
        "reasons": decision["reasons"],
    }


@pytest.mark.by_night
@pytest.mark.needs("slurm", "charliecloud")
def test_validation_wer_and_decision_are_those_of_a_run_here(
    spoken_cycle: Path, tmp_path: Path
) -> None:
    """With an image and without; no job is left."""
    for name in ("here", "plain", "image"):
        (tmp_path / name).mkdir()
    image = slurm_image.make(tmp_path / "image", packages=True)
    (tmp_path / "contained").mkdir()
    here = run_in(tmp_path / "here", spoken_cycle)
    assert here["validation WER"]
    with slurm_cluster.running() as cluster:
        cpus = ("--runtime", "slurm", "--export", "OMP_NUM_THREADS")
        plain = run_in(tmp_path / "plain", spoken_cycle, *cpus)
        assert cluster.jobs() == []
        launcher = ("--launcher", "charliecloud", "--launcher-image", str(image))
        contained = run_in(tmp_path / "contained", spoken_cycle, *cpus, *launcher)
        assert cluster.jobs() == []
    assert plain == here
    assert contained == here
