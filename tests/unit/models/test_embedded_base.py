"""The embedded base model: its size, its papers, what it knows and what it must not know."""

from __future__ import annotations

import hashlib
import re
import tarfile

import pytest
import yaml

from base_training import text
from tests.support.embedded_base_cases import MODEL, card_sha256


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


def test_benchmark_sentence_is_caught_by_its_carrier_alone() -> None:
    """A carrier is a leak too, whatever stands in its slot."""
    with pytest.raises(text.LeakError, match="patient reports no side effects from"):
        text.check_disjoint(["patient reports no side effects from the tea since discharge"])
