"""The normaliser: the contract to the letter, with one correction of hyphens."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.text_normalizer import normalise, to_the_letter

HYPHENS = "\u2010\u2011\u2012\u2013\u2212"


def literal(text: str) -> str:
    """The contract's sentence, word by word."""
    text = re.sub(r"[^\w\s-]", "", unicodedata.normalize("NFKD", text).lower())
    return " ".join(text.split())


@pytest.mark.parametrize("hyphen", HYPHENS)
@pytest.mark.parametrize(
    ("written", "normalised"),
    [
        ("chest x{}ray", "chest x-ray"),
        # ms609/citation-bot#5626, hjkgrp/molSimplify#501, inspirehep/inspire-next#2412,
        # lcnetdev/marva-quartz#695: dashes from word processors.
        ("Eighteenth{}Century Studies", "eighteenth-century studies"),
        ("489{}510", "489-510"),
        ("COVID{}19", "covid-19"),
        ("L5{}S1", "l5-s1"),
        ("café{}au{}lait", "cafe-au-lait"),
        ("cafe\u0301{}au lait", "cafe-au lait"),
        # Not between word characters: dropped, as the contract has it.
        ("the heart {} lungs", "the heart lungs"),
        ("{}5 degrees", "5 degrees"),
        ("pre{} and postoperative", "pre and postoperative"),
    ],
)
def test_a_dash_between_word_characters_is_the_hyphen(
    hyphen: str, written: str, normalised: str
) -> None:
    """Each of the five, and only there."""
    assert normalise(written.replace("{}", hyphen)) == normalised


def test_an_em_dash_stays_what_the_contract_has() -> None:
    """U+2014 is no hyphen."""
    assert normalise("heart\u2014lungs") == literal("heart\u2014lungs") == "heartlungs"


@given(st.text(alphabet=st.characters(exclude_characters=HYPHENS, exclude_categories=["Cs"])))
def test_every_other_text_is_normalised_to_the_letter(text: str) -> None:
    """Bit-equal figures, but for the correction."""
    assert normalise(text) == to_the_letter(text) == literal(text)


@given(st.text(alphabet=f"aé \u0301-1.{HYPHENS}", max_size=12))
def test_the_correction_is_the_ascii_hyphen(text: str) -> None:
    """A text with the hyphen written out gives the same."""
    written_out = re.sub(f"(?<=[\\w\u0301])[{HYPHENS}](?=\\w)", "-", text)
    assert normalise(text) == literal(written_out)
    assert to_the_letter(text) == literal(text)
