"""The folded encoder against NeMo's own: the same sums, the same texts, and the model untouched."""

# ruff: noqa: PLC0415 - torch and NeMo take ten seconds that collecting tests need not pay

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from tasks.models.catalog import embedded_path
from tasks.runtimes.base import ENTRY
from tests.support import factories

# The programs of tasks/entrypoints find each other beside themselves.
sys.path.insert(0, str(ENTRY))

if TYPE_CHECKING:
    from pathlib import Path

# Root of the mean square of what differs, as a share: rounding of 32 bits through all layers.
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=["ctc", "tdt"])
def base(request: pytest.FixtureRequest) -> Any:
    """A trained base."""
    from greedy_decoder import restore  # type: ignore[import-not-found]

    return restore(str(embedded_path().with_name(f"embedded_{request.param}.nemo")), "cpu")


def heard(bands: int) -> tuple[Any, Any]:
    """Features of three recordings, the longest first."""
    import torch

    counts = torch.tensor([403, 260, 9])
    features = torch.randn(3, bands, 403, generator=torch.Generator().manual_seed(5))
    return features.masked_fill(torch.arange(403) >= counts[:, None, None], 0.0), counts


def apart(encoder: Any, folded: Any) -> float:
    """Return how much the recordings' own frames differ, as a share."""
    import torch

    features, counts = heard(folded.bands)
    with torch.inference_mode():
        theirs, frames = encoder(audio_signal=features, length=counts)
        ours, ours_frames = folded(features, counts)
    assert frames.tolist() == ours_frames.tolist()
    own = torch.arange(theirs.shape[-1]) < frames[:, None, None]
    difference = torch.where(own, theirs - ours[..., : theirs.shape[-1]], 0.0)
    return float(difference.square().sum().sqrt() / torch.where(own, theirs, 0.0).norm())


@pytest.mark.parametrize("packed", [False, True])
def test_folded_encoder_computes_what_nemos_computes(base: Any, *, packed: bool) -> None:
    """By PyTorch's products and by oneDNN's; also after other weights were loaded."""
    import torch
    from folded_encoder import FoldedEncoder  # type: ignore[import-not-found]

    folded = FoldedEncoder(base.encoder, torch.float32, packed=packed)
    assert apart(base.encoder, folded) < TOLERANCE
    halved = {
        name: tensor / 2 if name.endswith("linear1.weight") else tensor
        for name, tensor in base.encoder.state_dict().items()
    }
    folded.load(halved)
    assert apart(base.encoder, folded) > 100 * TOLERANCE
    folded.load(base.encoder.state_dict())
    assert apart(base.encoder, folded) < TOLERANCE


def test_both_ways_of_attention_agree() -> None:
    """One kernel, as on a GPU, and two products; a padded recording among them."""
    import torch
    from folded_layers import (  # type: ignore[import-not-found]
        Settings,
        _attend_by_products,
        _attend_fused,
    )

    generator = torch.Generator().manual_seed(2)
    how = Settings(heads=2, padding=(4, 4))
    joined = torch.randn(3, 24, 4 * 16, generator=generator)
    positions = torch.randn(2, 2 * 40, 8, generator=generator)
    masked = torch.zeros(3, 1, 24)
    masked[1, :, 10:] = -10_000.0
    by_products = _attend_by_products(joined, positions, masked, how)
    fused = _attend_fused(joined, positions, masked, how)
    assert torch.allclose(by_products, fused, atol=1e-5)


def test_texts_are_those_of_nemos_encoder(base: Any, tmp_path: Path) -> None:
    """48 recordings, by batches of several; the log says which encoder it was."""
    import decoding_pipeline  # type: ignore[import-not-found]
    from greedy_decoder import GreedyRecognizer

    draw = np.random.default_rng(11)
    seconds = [round(float(length), 2) for length in draw.uniform(0.4, 2.5, 48)]
    paths = []
    for number, length in enumerate(seconds):
        samples = draw.standard_normal(round(length * factories.RATE)) * draw.uniform(0.02, 0.3)
        paths.append(str(tmp_path / f"{number}.wav"))
        soundfile.write(paths[-1], samples, factories.RATE, subtype="PCM_16")
    texts = []
    for fold in (True, False):
        ours = GreedyRecognizer(base, fold=fold)
        budget = decoding_pipeline.prepare(ours, max(seconds))
        texts.append(decoding_pipeline.transcribe(ours, paths, seconds, budget))
        assert ("encoder folded" in ours.describe()) == fold
    assert len(set(texts[0])) > 4
    assert texts[0] == texts[1]


def test_folding_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    """What is saved or trained afterwards is NeMo's own encoder with its own weights."""
    import torch
    from greedy_decoder import GreedyRecognizer, restore

    model = restore(str(embedded_path()), "cpu")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kinds = [type(part) for part in model.encoder.modules()]
    trained = [parameter.requires_grad for parameter in model.parameters()]
    assert GreedyRecognizer(model).encoder.folded is not None
    assert kinds == [type(part) for part in model.encoder.modules()]
    assert trained == [parameter.requires_grad for parameter in model.parameters()]
    model.save_to(str(tmp_path / "saved.nemo"))
    saved = restore(str(tmp_path / "saved.nemo"), "cpu").state_dict()
    assert saved.keys() == before.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in before.items())


def test_convolutions_of_a_gpu_keep_their_32_bits() -> None:
    """Else a text depends on what else is in its batch; PyTorch rounds to ten bits by default."""
    import torch
    from greedy_decoder import restore

    torch.backends.cudnn.allow_tf32 = True
    restore(str(embedded_path()), "cpu")
    assert not torch.backends.cudnn.allow_tf32


def test_an_encoder_of_another_kind_runs_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of limited context, and one for which folding gives other numbers; the log says why."""
    import encoder_runner  # type: ignore[import-not-found]
    import folded_encoder
    import torch
    from greedy_decoder import restore

    encoder = restore(str(embedded_path()), "cpu").encoder

    def runner() -> Any:
        made = encoder_runner.EncoderRunner(encoder, torch.float32, fold=True)
        made.check()
        return made

    def as_nemo_runs_it(made: Any) -> bool:
        features, counts = heard(80)
        with torch.inference_mode():
            theirs, _ = encoder(audio_signal=features, length=counts)
            ours, _ = made(features, counts)
        return torch.equal(theirs, ours)

    with monkeypatch.context() as changed:
        changed.setattr(encoder, "att_context_size", [64, 0])
        limited = runner()
    assert limited.describe() == ", encoder as NeMo runs it: limited context of another kind"
    assert as_nemo_runs_it(limited)
    assert capsys.readouterr().out.startswith(encoder_runner.PREFIX)
    monkeypatch.setattr(folded_encoder, "run_layer", lambda x, *_: x)
    wrong = runner()
    assert ", encoder as NeMo runs it: it differs by" in wrong.describe()
    assert as_nemo_runs_it(wrong)
