"""Aligned reference and hypothesis of the worst rows."""

from __future__ import annotations

from tasks.alignment import align, worst
from tasks.hypotheses import Hypothesis
from tasks.scoring import score


def test_errors_are_marked_under_the_words() -> None:
    """A substituted and a deleted word, after normalisation."""
    lines = align(Hypothesis("a.wav", "Give aspirin, now please", "give aspen now")).splitlines()
    assert lines[0].split() == ["REF:", "give", "aspirin", "now", "please"]
    assert lines[1].split()[:4] == ["HYP:", "give", "aspen", "now"]
    assert lines[2].split() == ["S", "D"]


def test_equal_sentences_have_no_mark() -> None:
    """Two lines only."""
    assert align(Hypothesis("a.wav", "Give it.", "give it")).splitlines() == [
        "REF: give it",
        "HYP: give it",
    ]


def test_an_empty_reference_is_no_crash() -> None:
    """There is nothing to align with."""
    assert align(Hypothesis("a.wav", "…", "noise")) == "HYP: noise"


def test_missed_terms_are_worse_than_any_word_error() -> None:
    """The headline is the term."""
    rows = [
        Hypothesis("a.wav", "give aspirin", "x y z aspirin", term="aspirin"),
        Hypothesis("b.wav", "give aspirin to the patient now", "give aspen to the patient now",
                   term="aspirin"),
        Hypothesis("c.wav", "no term here", "no"),
    ]  # fmt: skip
    assert [row.row.audio_filepath for row in worst(score(rows), 2)] == ["b.wav", "a.wav"]
