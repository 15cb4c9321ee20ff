"""The program server with NeMo: a fork trains and decodes as a program of its own does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tasks.common import atomic_files
from tasks.data.cycle_folder import open_cycle
from tasks.models import catalog
from tasks.runtimes import program_server
from tasks.stages import evaluate
from tasks.training.recipes import recipe
from tests.support import nemo_models, tiny_training

if TYPE_CHECKING:
    from pathlib import Path


def outcome(folder: Path) -> dict[str, Any]:
    """Train on noise and decode it: the losses, the model's weights, and the texts."""
    base = catalog.resolve("embedded")
    quick = recipe("verified").model_copy(update={"epochs": 1})
    cycle = tiny_training.make_cycle(folder)
    result = tiny_training.tune(cycle, base, quick)
    texts = {}
    for name, model in (("base", base), ("tuned", result.model)):
        out = cycle.parent / f"{name}.jsonl"
        evaluate.transcribe_baseline(open_cycle(cycle), str(model), out, (), lambda _: None)
        texts[name] = [row["hyp"] for row in atomic_files.read_jsonl(out)]
    losses = [event["loss"] for event in result.events.read() if event["event"] == "step"]
    return {
        "losses": losses,
        "weights": nemo_models.weights(result.model),
        "texts": texts,
    }


@pytest.mark.by_night
def test_a_fork_computes_what_a_program_of_its_own_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit: losses, weights and texts, with NeMo imported once or each time."""
    monkeypatch.setenv(program_server.SEPARATE_VARIABLE, "1")
    separate = outcome(tmp_path / "separate")
    monkeypatch.setenv(program_server.SEPARATE_VARIABLE, "0")
    served = outcome(tmp_path / "served")
    weights, others = (one.pop("weights") for one in (served, separate))
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert served == separate
    assert all(served.values())
