"""How far each weight of a mixture goes from the base to the tuned model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tasks.runtimes.base import ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("encoder.layers.0.linear", "encoder.layers.1.linear", "encoder.pre.conv", "decoder.out")
"""Of two layers, of what comes before them, and of what follows them."""


@pytest.fixture(scope="module")
def mix_weights() -> Iterator[Any]:
    """The program."""
    sys.path.insert(0, str(ENTRY))
    import mix_weights  # type: ignore[import-not-found]  # noqa: PLC0415 - as the programs do

    yield mix_weights
    sys.path.remove(str(ENTRY))


@pytest.fixture
def ends() -> list[dict[str, torch.Tensor]]:
    """Base and tuned model: what is mixed of both is the tuned model's share."""
    return [{name: torch.full((2,), end) for name in NAMES} for end in (0.0, 1.0)]


def test_deep_weights_go_further_than_shallow_ones(
    mix_weights: Any, ends: list[dict[str, torch.Tensor]]
) -> None:
    """Terms are won by them, and English is lost by the others."""
    mixed = mix_weights.mix(*ends, 0.25)
    shares = {name: float(tensor[0]) for name, tensor in mixed.items()}
    before, first, second, behind = (shares[NAMES[place]] for place in (2, 0, 1, 3))
    assert before == pytest.approx(0.25**2.5)
    assert behind == 0.5
    assert before < first < second < behind


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_ends_are_base_and_tuned_model(
    mix_weights: Any, ends: list[dict[str, torch.Tensor]], value: float
) -> None:
    """To the bit, so that the plain tuned model is a candidate like the others."""
    mixed = mix_weights.mix(*ends, value)
    assert all(torch.equal(mixed[name], ends[int(value)][name]) for name in NAMES)


def test_norms_go_least_far(mix_weights: Any) -> None:
    """Wherever they lie; batch norm's statistics are among them."""
    names = [*NAMES, "encoder.layers.1.conv.batch_norm.running_mean", "decoder.norm.bias"]
    exponents = mix_weights.exponents(names)
    assert {exponents[name] for name in names[-2:]} == {3.0}
    assert max(exponents[name] for name in NAMES) < 3.0


def test_an_encoder_without_numbered_layers_is_mixed_evenly(mix_weights: Any) -> None:
    """Where in it English is lost is not known."""
    names = ["encoder.stem.norm", "encoder.blocks.a.weight", "decoder.out"]
    assert set(mix_weights.exponents(names).values()) == {1.0}


def test_what_follows_the_encoder_of_a_transducer_goes_as_far_as_the_value(
    mix_weights: Any,
) -> None:
    """Prediction network and joint win few terms and lose English; its layers are as of a CTC."""
    ctc = mix_weights.exponents(NAMES)
    transducer = mix_weights.exponents([*NAMES, "joint.enc.weight"])
    assert ctc["decoder.out"] == 0.5
    assert transducer["decoder.out"] == transducer["joint.enc.weight"] == 1.0
    encoder = [name for name in NAMES if name.startswith("encoder.")]
    assert [transducer[name] for name in encoder] == [ctc[name] for name in encoder]


@pytest.mark.parametrize("moved", [0.0, 1e-7, 1e-3])
def test_a_model_whose_lower_layers_were_not_trained_is_mixed_evenly(
    mix_weights: Any, moved: float
) -> None:
    """What would lose English was not learnt; a mean of checkpoints may differ by rounding."""
    base = {name: torch.full((2,), 1.0) for name in NAMES}
    tuned = {name: torch.full((2,), 2.0) for name in NAMES}
    tuned["encoder.layers.0.linear"] = base["encoder.layers.0.linear"] + moved
    mixed = mix_weights.mix(base, tuned, 0.25)
    shares = [float(mixed[name][0]) - 1 for name in ("encoder.layers.1.linear", "decoder.out")]
    if moved < 1e-5:
        assert shares == pytest.approx([0.25**1.15] * 2)
    else:
        assert shares[0] < shares[1] == 0.5
