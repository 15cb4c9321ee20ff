"""The embedded base's training text, made again from WordNet."""

from __future__ import annotations

import pytest

from asr_flywheel.demo.dataset import possible_sentences
from asr_flywheel.demo.terms import TERMS
from base_training import text
from tests.support.embedded_base_cases import card_sha256
from tests.support.needs import require


def test_every_term_and_every_sentence_would_be_caught() -> None:
    """None of the benchmark's terms or sentences can slip into the training text."""
    for planted in {term.text for term in TERMS} | possible_sentences():
        with pytest.raises(text.LeakError):
            text.check_disjoint([planted])


def test_training_text_is_the_one_on_the_card() -> None:
    """Made again from WordNet, and checked for leaks on the way, the text has the card's hash."""
    require("wordnet")
    made = text.build()
    assert made.sha256() == card_sha256("SHA-256 of the training text")
    assert not set(made.validation) & set(made.train)
