"""Word errors outside the cycle's terms: in-domain harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from tasks.evaluation.false_keywords import index_terms
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.outside_terms import count_errors, errors_outside_terms
from tasks.evaluation.scoring import score

TERMS = index_terms(["metformin", "atrial fibrillation", "atrial"])


@pytest.mark.parametrize(
    ("ref", "hyp", "edits", "words"),
    [
        ("give metformin now", "give metformin now", 0, 2),
        ("give metformin now", "give met for min now", 0, 2),
        ("give metformin now", "give now", 0, 2),
        ("give metformin now", "take metformin", 2, 2),
        ("please give him metformin", "please do give him metformin", 1, 3),
        ("new atrial fibrillation today", "new a trial fibre today", 0, 2),
        ("metformin and metformin", "met and morphine", 0, 1),
        ("metformin", "something else", 0, 0),
        ("good morning", "", 2, 2),
        ("", "noise", 1, 0),
    ],
)
def test_only_words_around_the_terms_count(ref: str, hyp: str, edits: int, words: int) -> None:
    """A term's words are out, with what was heard in their place or put in beside them."""
    assert count_errors(ref, hyp, TERMS) == (edits, words)


def test_another_rows_term_is_out_as_well() -> None:
    """The terms are the cycle's, not only the row's own."""
    rows = [
        Hypothesis(
            "0.wav", "Metformin for atrial fibrillation.", "metformin for a tree", "metformin"
        ),
        Hypothesis("1.wav", "new atrial fibrillation", "new fibre", "atrial fibrillation"),
    ]
    found = errors_outside_terms(score(rows), index_terms(row.term for row in rows))
    assert (found.edits, found.words, found.rate) == (0, 2, 0.0)
    assert found.interval is None


def test_nothing_to_measure_is_no_zero() -> None:
    """Neither without rows nor without words outside the terms."""
    assert errors_outside_terms(score([]), TERMS).rate is None


def test_many_terms_give_an_interval() -> None:
    """By the bootstrap over terms, around the rate."""
    rows = [
        Hypothesis(f"{n}.wav", f"give term{n} now", f"give term{n} {'later' if n % 4 else 'now'}",
                   f"term{n}")
        for n in range(20)
    ]  # fmt: skip
    found = errors_outside_terms(score(rows), index_terms(row.term for row in rows))
    assert found.rate == 15 / 40
    assert found.interval is not None
    assert found.interval.low < 15 / 40 < found.interval.high


words = st.lists(st.sampled_from(["a", "b", "metformin", "atrial", "fibrillation"]), max_size=6)


@given(words, words)
def test_no_more_errors_than_there_are(said: list[str], heard: list[str]) -> None:
    """Never more than all edits; without a term in the reference, all of them."""
    edits, outside = count_errors(" ".join(said), " ".join(heard), TERMS)
    assert 0 <= edits <= Levenshtein.distance(said, heard)
    if not {"metformin", "atrial"} & set(said):
        assert (edits, outside) == (Levenshtein.distance(said, heard), len(said))
