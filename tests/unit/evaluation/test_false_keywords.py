"""False keywords: terms that stand in a hypothesis though nobody said them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.canonical_terms import SpokenText
from tasks.data.text_normalizer import contains_words, normalise
from tasks.evaluation import diff
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.false_keywords import FalseKeywordFinder, false_keyword_effect, index_terms
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.scoring import Scores, score


@pytest.mark.parametrize(
    ("ref", "hyp", "found"),
    [
        ("give aspirin now", "give aspirin now", ()),
        ("give aspirin now", "give warfarin now", ("warfarin",)),
        ("give aspirin now", "give aspirin warfarin now", ("warfarin",)),
        ("give aspirin now", "give insulin glargine now", ("insulin", "insulin glargine")),
        ("give insulin glargine", "give insulin", ()),
        ("give insulin", "give insulin glargine", ("insulin glargine",)),
        ("give aspirin now", "glargine insulin", ("insulin",)),
        ("give aspirin now", "give aspirins now", ()),
        ("give aspirin now", "", ()),
    ],
)
def test_a_term_nobody_said_is_false(ref: str, hyp: str, found: tuple[str, ...]) -> None:
    """By whole words, in order and adjacent, as KER finds a term."""
    words = index_terms(["Aspirin", "warfarin", "insulin", "insulin glargine", None, "?"])
    assert words.false_in(SpokenText(ref), SpokenText(hyp)) == found


@pytest.mark.parametrize(
    ("ref", "hyp", "found"),
    [
        ("a chest x ray", "a chest x-ray", ()),
        ("a chest xray", "a chest x ray", ()),
        ("fifty micrograms", "50 mcg", ()),
        ("crohn disease", "Crohn's disease", ()),
        ("a one c", "A1c", ()),
        ("nothing", "a chest xray", ("x-ray",)),
        ("nothing", "50 µg", ("50 mcg",)),
        ("nothing", "Crohn disease", ("crohns disease",)),
        ("nothing", "a non-tender belly", ()),
        ("nothing", "a tender belly", ("tender",)),
        ("nothing", "I'm tender", ("tender",)),
        ("room 7", "room twelve", ("12",)),
        ("room twelve", "room 12", ()),
    ],
)
def test_another_spelling_is_no_false_keyword(ref: str, hyp: str, found: tuple[str, ...]) -> None:
    """And a false keyword is found in any spelling."""
    terms = index_terms(["x-ray", "50 mcg", "Crohn's disease", "A1c", "tender", "12"])
    assert terms.false_in(SpokenText(ref), SpokenText(hyp)) == found


@pytest.mark.parametrize(
    ("ref", "hyp", "found"),
    [
        ("warfarin's effect", "warfarin effect", ()),
        ("the warfarin effect", "the warfarin's effect", ()),
        ("warfarin\u2019s effect", "warfarin effect", ()),
        ("lung metastases", "lung metastasis", ()),
        ("a lung metastasis", "a lung metastases", ()),
        ("two biopsies", "two biopsy", ()),
        ("an MRI", "two MRIs", ()),
        ("kidney stones", "kidney stone", ()),
        ("the patient's effect", "warfarin's effect", ("warfarins",)),
        ("the effect of warfare", "the effect of warfarin", ("warfarin",)),
        ("warfarin's effect", "warfarin and a biopsy", ("biopsy",)),
        ("a hearing aid", "it is AIDS", ("aids",)),
        ("he drinks cola", "his colon", ("colon",)),
    ],
)
def test_an_ending_of_the_said_term_is_no_false_keyword(
    ref: str, hyp: str, found: tuple[str, ...]
) -> None:
    """Possessives, plurals and singulars were said; an ordinary English word is no such form."""
    terms = ["warfarin", "metastasis", "metastases", "biopsy", "MRIs", "kidney stone", "AIDS"]
    index = index_terms([*terms, "colon", "warfarin's"])
    assert index.false_in(SpokenText(ref), SpokenText(hyp)) == found


def test_an_ending_is_a_miss_to_the_letter_and_spoils_nothing_else() -> None:
    """KER follows the contract, and the row is not punished a second time."""
    rows = [
        Hypothesis("a.wav", "warfarin's effect", "warfarin effect", "warfarin's", "drug"),
        Hypothesis("b.wav", "give warfarin", "give warfarin", "warfarin", "drug"),
    ]
    scores = score(rows)
    holds_one = FalseKeywordFinder(index_terms(scores.terms))
    assert scores.ker == 0.5
    assert [holds_one(row) for row in scores.rows] == [False, False]


phrases = st.lists(st.sampled_from(["a", "b", "c", "a-b"]), max_size=6).map(" ".join)


@given(st.lists(phrases, max_size=5), phrases, phrases)
def test_the_index_by_first_words_misses_nothing(terms: list[str], ref: str, hyp: str) -> None:
    """It finds what looking for each term in turn would find."""
    wanted = {
        term
        for term in map(normalise, terms)
        if term and contains_words(hyp, term) and not contains_words(ref, term)
    }
    index = index_terms(terms)
    assert set(index.false_in(SpokenText(ref), SpokenText(hyp))) == wanted
    assert set(index.false_to_the_letter(ref, hyp)) == wanted


def test_false_keywords_are_counted_on_both_sides() -> None:
    """Two of three rows hold a false keyword after; counted as missed, nothing was gained."""
    terms = ["aspirin", "warfarin", "insulin"]

    def rows(hyps: list[str]) -> Scores:
        return score(
            Hypothesis(f"{term}.wav", f"give {term}", hyp, term, "drug")
            for term, hyp in zip(terms, hyps, strict=True)
        )

    before = rows(["give x", "give warfarin", "give y"])
    after = rows(["give aspirin warfarin", "give warfarin", "give insulin aspirin"])
    found = false_keyword_effect(
        diff.pair(before, after), FalseKeywordFinder(index_terms(terms)), diff.term_missed
    )
    assert found.rows["drug"].before == Proportion(0, 3)
    assert found.rows["drug"].after == Proportion(2, 3)
    assert (
        found.with_false_keywords_as_misses["drug"].before
        == found.with_false_keywords_as_misses["drug"].after
        == Proportion(2, 3)
    )
    assert diff.pair(before, after).by_category["drug"].after == Proportion(0, 3)
