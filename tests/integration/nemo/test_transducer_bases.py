"""The embedded RNN-T and TDT bases, restored and tuned."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import jiwer
import pytest

from asr_flywheel.demo.dataset import first_general_sentences, synthesise_general
from tasks.models.catalog import embedded_path
from tests.support.transducer_bases_cases import KINDS, card, config, members, model

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.training.run import SftResult


@pytest.fixture(scope="module")
def general(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the held-out sentences of general English that the cards mean, spoken."""
    folder = tmp_path_factory.mktemp("general")
    return synthesise_general(folder, n=len(first_general_sentences()))


@pytest.mark.parametrize("kind", [pytest.param("rnnt", marks=pytest.mark.by_night), "tdt"])
def test_base_knows_general_english(kind: str, general: Path) -> None:
    """Restored from 16 bits, it hears held-out sentences as well as its card says."""
    import torch  # noqa: PLC0415 - ten seconds that the other tests need not pay
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415

    from base_training.evaluate import pooled, transcribe  # noqa: PLC0415

    restored = ASRModel.restore_from(str(model(kind)), map_location="cpu")
    assert {parameter.dtype for parameter in restored.parameters()} == {torch.float32}
    count = f"{sum(parameter.numel() for parameter in restored.parameters()):,}"
    assert count.replace(",", " ") in card(kind)
    wer = pooled(jiwer.wer, transcribe(restored, general))
    row = re.search(r"\| general English, clean \| 200 \| (0\.\d+) \|", card(kind))
    assert row
    # Another processor's rounding may change a few words of the 1,660.
    assert wer == pytest.approx(float(row[1]), abs=0.006)
    assert wer <= 0.5


def test_rnnt_base_is_tuned_on_a_cpu(tuned_rnnt: tuple[Path, SftResult]) -> None:
    """The stock recipe runs on it without a GPU and leaves a model of the same kind."""
    _, tuned = tuned_rnnt
    assert config(tuned.model)["loss"] == config(model("rnnt"))["loss"]
    assert (
        members(tuned.model)["model_weights.ckpt"] != members(model("rnnt"))["model_weights.ckpt"]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_recipe_starts_from_the_ctc_bases_encoder(kind: str, tmp_path: Path) -> None:
    """A fresh transducer has the CTC base's encoder, weight by weight, and can be saved."""
    import torch  # noqa: PLC0415
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415

    from base_training import transducer  # noqa: PLC0415

    fresh = transducer.create(
        transducer.TransducerKind(kind), embedded_path(), tmp_path / "tokenizer"
    )
    ctc = ASRModel.restore_from(str(embedded_path()), map_location="cpu")
    theirs = ctc.encoder.state_dict()
    ours = fresh.encoder.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    transducer.save(fresh, tmp_path / "fresh.nemo")
    told, shipped = config(tmp_path / "fresh.nemo"), config(model(kind))
    for name in ("decoder", "joint", "decoding", "loss", "model_defaults", "labels"):
        assert told[name] == shipped[name]
