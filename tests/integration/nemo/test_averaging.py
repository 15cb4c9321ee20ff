"""The model of a recipe that keeps several checkpoints: the mean of their weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tasks.models.catalog import embedded_path
from tasks.runtimes.base import ENTRY
from tasks.training import run as training_run
from tasks.training.recipes import Recipe
from tests.support import nemo_models, tiny_training

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import checkpoints
print(json.dumps(checkpoints.average(Path(sys.argv[2]), Path(sys.argv[3]))))
"""


def average(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Average in a process of its own, as where NeMo is."""
    program = [sys.executable, "-c", PROGRAM, str(ENTRY), str(folder), str(out)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def write_checkpoint(path: Path, epoch: int, weights: dict[str, Any]) -> None:
    """Write what of Lightning's checkpoint is read."""
    torch.save({"epoch": epoch, "global_step": 10 * (epoch + 1), "state_dict": weights}, path)


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, dict[int, dict[str, Any]]]:
    """Two checkpoints and the last one beside a .nemo, and the weights by epoch."""
    shutil.copy(embedded_path(), tmp_path / "sft.nemo")
    weights = nemo_models.weights(tmp_path / "sft.nemo")
    by_epoch: dict[int, dict[str, Any]] = {}
    for epoch in (0, 1, 3):
        by_epoch[epoch] = {
            name: tensor + epoch * (0.25 if tensor.is_floating_point() else 1)
            for name, tensor in weights.items()
        }
    # By name the later epoch comes first.
    write_checkpoint(tmp_path / "sft--val_wer=0.1000-epoch=1.ckpt", 1, by_epoch[1])
    write_checkpoint(tmp_path / "sft--val_wer=0.2000-epoch=0.ckpt", 0, by_epoch[0])
    write_checkpoint(tmp_path / "sft--val_wer=0.3000-epoch=3-last.ckpt", 3, by_epoch[3])
    return tmp_path, by_epoch


def test_the_mean_of_the_best_checkpoints_is_the_model(
    kept: tuple[Path, dict[int, dict[str, Any]]],
) -> None:
    """In 32 bits; the last one is none of them; counters and features are the later epoch's."""
    folder, by_epoch = kept
    done = average(folder, folder / "sft.nemo")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [(one["epoch"], one["step"]) for one in told] == [(0, 10), (1, 20)]
    assert len({one["weights_sha256"] for one in told}) == 2
    averaged = nemo_models.weights(folder / "sft.nemo")
    assert averaged.keys() == by_epoch[0].keys()
    for name, tensor in averaged.items():
        first, second = by_epoch[0][name], by_epoch[1][name]
        mean = first / 2 + second / 2
        taken = name.startswith("preprocessor.") or not tensor.is_floating_point()
        assert torch.equal(tensor, second if taken else mean), name
    # The same checkpoints make the same bytes.
    before = (folder / "sft.nemo").read_bytes()
    assert json.loads(average(folder, folder / "sft.nemo").stdout) == told
    assert (folder / "sft.nemo").read_bytes() == before


def test_checkpoints_of_another_model_are_refused(
    kept: tuple[Path, dict[int, dict[str, Any]]],
) -> None:
    """Nothing is written; the message names what differs."""
    folder, by_epoch = kept
    before = (folder / "sft.nemo").read_bytes()
    name, tensor = next(iter(by_epoch[1].items()))
    write_checkpoint(
        folder / "sft--val_wer=0.1000-epoch=1.ckpt", 1, {**by_epoch[1], name: tensor[:1]}
    )
    done = average(folder, folder / "sft.nemo")
    assert done.returncode == 1
    assert f"checkpoints that differ cannot be averaged: {name}" in done.stderr
    assert (folder / "sft.nemo").read_bytes() == before


def test_a_training_that_keeps_two_checkpoints_averages_them(tmp_path: Path) -> None:
    """NeMo keeps them, the record names them, and the model is another one than the best."""
    cycle = tiny_training.make_cycle(tmp_path / "clinic")
    recipe = Recipe(epochs=2, keep_checkpoints=2)
    averaged, best = (
        tiny_training.tune(cycle, embedded_path(), one)
        for one in (recipe, recipe.model_copy(update={"keep_checkpoints": 1}))
    )
    info = training_run.read_info(averaged.info)
    assert [(one["epoch"], one["val_wer"]) for one in info["averaged"]] == [
        (one.epoch, one.val_wer) for one in averaged.epochs
    ]
    assert info["checkpoint"].startswith("the average of epochs 1, 2, ")
    assert [one.val_wer for one in averaged.epochs] == [one.val_wer for one in best.epochs]
    assert "averaged" not in training_run.read_info(best.info)
    one, other = (nemo_models.weights(result.model) for result in (averaged, best))
    assert one.keys() == other.keys()
    assert any(not torch.equal(one[name], other[name]) for name in one)
