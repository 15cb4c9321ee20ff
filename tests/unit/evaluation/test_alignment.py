"""Aligned reference and hypothesis of the worst rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.alignment import align, columns, worst
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.scoring import score


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


def test_two_hypotheses_stand_under_one_reference() -> None:
    """Equal, other, left-out and put-in words, each in its column; the term's are marked."""
    found = columns("Give aspirin, now!", ["uh give as prin now", "give now"], ["Aspirin"])
    assert [(column.ref, column.hyps, column.of_term) for column in found] == [
        (None, ("uh", None), False),
        ("give", ("give", "give"), False),
        (None, ("as", None), False),
        ("aspirin", ("prin", None), True),
        ("now", ("now", "now"), False),
    ]


@given(st.text("ab ", max_size=12), st.text("abc ", max_size=12), st.text("b ", max_size=6))
def test_columns_keep_every_word(ref: str, one: str, other: str) -> None:
    """Reading down a row of the alignment gives the sentence again."""
    found = columns(ref, [one, other])
    assert [column.ref for column in found if column.ref is not None] == ref.split()
    for place, hyp in enumerate((one, other)):
        words = [column.hyps[place] for column in found]
        assert [word for word in words if word is not None] == hyp.split()
