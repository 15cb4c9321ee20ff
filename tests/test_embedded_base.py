"""The embedded base model: its size, its papers, what it knows and what it must not know."""

from __future__ import annotations

import hashlib
import re
import tarfile
from pathlib import Path

import jiwer
import pytest
import yaml

from asr_flywheel.demo.dataset import possible_sentences, synthesise_general
from asr_flywheel.demo.terms import TERMS
from base_training import text
from tests.needs import require

FOLDER = Path(__file__).parents[1] / "asr_flywheel" / "embedded"
MODEL = FOLDER / "embedded_ctc.nemo"
CARD = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")


def card_sha256(label: str) -> str:
    """The SHA-256 that the model card gives for something."""
    found = re.search(rf"{re.escape(label)}.*?`([0-9a-f]{{64}})`", CARD)
    assert found, label
    return found[1]


def test_file_is_small_and_the_one_on_the_card() -> None:
    """Twelve mebibytes at most, so that it can live in the repository."""
    content = MODEL.read_bytes()
    assert len(content) <= 12 * 2**20
    assert hashlib.sha256(content).hexdigest() == card_sha256("SHA-256 of the file")


def test_config_has_what_transcribing_and_tuning_read() -> None:
    """The data sets' keys exist; the vocabulary is small letters and the apostrophe."""
    with tarfile.open(MODEL) as archive:
        names = archive.getnames()
        member = archive.extractfile(next(name for name in names if name.endswith("config.yaml")))
        assert member
        config = yaml.safe_load(member)
    assert config["sample_rate"] == 16_000
    assert {"train_ds", "validation_ds", "test_ds", "spec_augment", "optim"} <= config.keys()
    assert any(name.endswith("tokenizer.model") for name in names)
    pieces = [piece for piece in config["decoder"]["vocabulary"] if piece != "<unk>"]
    assert set("".join(pieces)) == set("abcdefghijklmnopqrstuvwxyz'\u2581")


@pytest.mark.whole
def test_base_knows_general_english(tmp_path: Path) -> None:
    """Restored from its 16-bit file as it is, it hears held-out sentences well."""
    import torch  # noqa: PLC0415 - ten seconds that the other tests need not pay
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415

    from base_training.evaluate import pooled, transcribe  # noqa: PLC0415

    manifest = synthesise_general(tmp_path, n=60, workers=1)
    model = ASRModel.restore_from(str(MODEL), map_location="cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert pooled(jiwer.wer, transcribe(model, manifest)) <= 0.20


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ("she took metoprolol with her tea", "metoprolol"),
        ("two colonoscopies in one day", "colonoscopies"),
        ("the pancreas's duct", "pancreas's"),
        ("a lumbar support for the chair", "lumbar"),
        ("ask the respiratory therapist", "respiratory"),
        ("her family has a history of gout on the maternal side", None),
        ("he had been told years ago that his roof was damaged", None),
        ("the puncture in the valve was mended by a therapist", None),
    ],
)
def test_planted_term_is_caught(planted: str, found: str | None) -> None:
    """A term, an inflection or an unfamiliar word of one fails the recipe; ordinary words don't."""
    lines = ["the cat sat on the mat", planted]
    if found is None:
        text.check_disjoint(lines)
    else:
        with pytest.raises(text.LeakError, match=f"line 2 holds {re.escape(repr(found))}"):
            text.check_disjoint(lines)


def test_every_term_and_every_sentence_would_be_caught() -> None:
    """None of the benchmark's terms or sentences can slip into the training text."""
    for planted in {term.text for term in TERMS} | possible_sentences():
        with pytest.raises(text.LeakError):
            text.check_disjoint([planted])


def test_benchmark_sentence_is_caught_by_its_carrier_alone() -> None:
    """A carrier is a leak too, whatever stands in its slot."""
    with pytest.raises(text.LeakError, match="patient reports no side effects from"):
        text.check_disjoint(["patient reports no side effects from the tea since discharge"])


def test_training_text_is_the_one_on_the_card() -> None:
    """Made again from WordNet, and checked for leaks on the way, the text has the card's hash."""
    require("wordnet")
    made = text.build()
    assert made.sha256() == card_sha256("SHA-256 of the training text")
    assert not set(made.validation) & set(made.train)
