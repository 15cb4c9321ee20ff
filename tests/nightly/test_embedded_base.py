"""The embedded base's training text, made again from WordNet."""

from __future__ import annotations

import pytest

from asr_flywheel.demo.dataset import (
    first_general_sentences,
    general_sentences,
    possible_sentences,
)
from asr_flywheel.demo.terms import TERMS
from base_training import text
from tests.support.embedded_base_cases import card_sha256
from tests.support.needs import require


def test_every_term_and_every_sentence_would_be_caught() -> None:
    """None of the benchmark's terms or sentences can slip into the training text."""
    for planted in {term.text for term in TERMS} | possible_sentences():
        with pytest.raises(text.LeakError):
            text.check_disjoint([planted])


@pytest.fixture(scope="module")
def made() -> text.TrainingText:
    """The recipe's text, made again from WordNet, and checked for leaks on the way."""
    require("wordnet")
    return text.build()


def test_training_text_is_the_one_on_the_card(made: text.TrainingText) -> None:
    """It has the card's hash."""
    assert made.sha256() == card_sha256("SHA-256 of the training text")
    assert not set(made.validation) & set(made.train)


def test_no_run_of_a_general_sentence_is_in_the_training_text(made: text.TrainingText) -> None:
    """The recipe filters by the first two hundred only, and the added ones are as unheard."""
    learnt = {run for line in made.train for run in text.runs_of_words(line)}
    for sentence in general_sentences():
        assert learnt.isdisjoint(text.runs_of_words(sentence)), sentence


def test_added_sentences_come_from_where_their_file_says(made: text.TrainingText) -> None:
    """253 are of the validation split; those before and after them share no run with it."""
    added = general_sentences()[len(first_general_sentences()) :]
    assert set(added[147:400]) <= set(made.validation)
    assert len(added) == 700
    watched = {run for line in made.validation for run in text.runs_of_words(line)}
    for sentence in (*added[:147], *added[400:]):
        assert watched.isdisjoint(text.runs_of_words(sentence)), sentence


def test_training_text_with_an_added_sentence_is_refused(made: text.TrainingText) -> None:
    """A recipe that learnt a sentence of the guard fails, wherever the sentence comes from."""
    for sentence in general_sentences()[len(first_general_sentences()) :: 80]:
        with pytest.raises(text.LeakError):
            text.check_disjoint([*made.train[:10], f"and then {sentence}"])
