"""Lower layers that are not trained: they, and all norms, are the base's to the bit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tasks.models.catalog import embedded_path
from tasks.runtimes.base import ENTRY
from tasks.training import recipes
from tests.support import nemo_models, tiny_training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def frozen_layers() -> Iterator[Any]:
    """The program's part."""
    sys.path.insert(0, str(ENTRY))
    import frozen_layers  # type: ignore[import-not-found]  # noqa: PLC0415 - as the programs do

    yield frozen_layers
    sys.path.remove(str(ENTRY))


class Layer(torch.nn.Module):
    """A layer with the norms of a Conformer's."""

    def __init__(self) -> None:
        """Make it small."""
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)
        self.norm = torch.nn.LayerNorm(2)
        self.batch_norm = torch.nn.BatchNorm1d(2)


class Model(torch.nn.Module):
    """An encoder with something before its layers, and a decoder."""

    def __init__(self, layers: int) -> None:
        """Make an encoder of so many layers."""
        super().__init__()
        self.encoder = torch.nn.Module()
        self.encoder.pre_encode = torch.nn.Linear(2, 2)
        self.encoder.layers = torch.nn.ModuleList(Layer() for _ in range(layers))
        self.decoder = torch.nn.Linear(2, 2)


def test_what_is_frozen_is_below_a_layer_or_a_norm(frozen_layers: Any) -> None:
    """The upper layers' products and the decoder are trained, nothing else."""
    model = Model(3)
    assert frozen_layers.freeze(model, 0.45) == (1, 3)
    trained = {name for name, one in model.named_parameters() if one.requires_grad}
    parts = ("encoder.layers.1.linear", "encoder.layers.2.linear", "decoder")
    assert trained == {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}
    statistics = [one for one in model.modules() if isinstance(one, torch.nn.BatchNorm1d)]
    assert {one.momentum for one in statistics} == {0.0}


@pytest.mark.parametrize("layers", [0, 2])
def test_too_few_layers_end_the_run(frozen_layers: Any, layers: int) -> None:
    """Nothing would be frozen, and the recipe would be another one than its name says."""
    with pytest.raises(SystemExit, match=f"of the {layers} layers of this encoder none would be"):
        frozen_layers.freeze(Model(layers), 0.45)


def test_a_training_leaves_lower_layers_and_norms_as_they_are(tmp_path: Path) -> None:
    """With the stock script; the upper layers and the decoder are other ones."""
    cycle = tiny_training.make_cycle(tmp_path / "clinic")
    recipe = recipes.recipe("upper-layers").model_copy(update={"epochs": 1})
    tuned = tiny_training.tune(cycle, embedded_path(), recipe)
    base, after = (nemo_models.weights(path) for path in (embedded_path(), tuned.model))
    assert base.keys() == after.keys()
    floating = [name for name in base if base[name].is_floating_point()]
    moved = {name for name in floating if not torch.equal(base[name], after[name])}
    stays = ("preprocessor", "encoder.pre_encode", *(f"encoder.layers.{n}." for n in range(4)))
    expected = {name for name in floating if not name.startswith(stays) and "norm" not in name}
    # Keys have no use for a bias: the softmax takes it away, and its gradient is rounding.
    unsure = {name for name in expected if name.endswith("linear_k.bias")}
    assert moved | unsure == expected
