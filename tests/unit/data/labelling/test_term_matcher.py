"""Terms are found as whole words, the longest first, in any spelling and inflection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.labelling.formulary import FormularyTerm
from tasks.data.labelling.term_matcher import TermMatcher
from tasks.data.row_schema import check_record

TERMS = (
    ("metoprolol", "drug"),
    ("metoprolol succinate", "drug"),
    ("type 2 diabetes", "condition"),
    ("diabetes", "condition"),
    ("Crohn's disease", "condition"),
    ("x-ray", "procedure"),
    ("tender", "condition"),
    ("non-tender", "condition"),
    ("biopsy", "procedure"),
    ("diverticulum", "anatomy"),
    ("diagnosis", "condition"),
    ("kidney stones", "condition"),
    ("haemoglobin", "lab"),
    ("Parkinson", "condition"),
    ("ALL", "condition"),
    ("MRI", "procedure"),
    ("amlodipine", "drug"),
    ("5-FU", "drug"),
)
MATCHER = TermMatcher(FormularyTerm(term, category, term) for term, category in TERMS)


def found(text: str) -> list[tuple[str, str]]:
    """The formulary's terms and the text's spellings."""
    return [(match.term.term, match.spelling) for match in MATCHER.find(text).matches]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Start Metoprolol succinate, please.", [("metoprolol succinate", "Metoprolol succinate")]),
        ("metoprolol and succinate", [("metoprolol", "metoprolol")]),
        ("metoprololum is no word of it", []),
        ("has type two diabetes now", [("type 2 diabetes", "type two diabetes")]),
        ("type II diabetes", [("type 2 diabetes", "type II diabetes")]),
        ("Crohn’s disease, or", [("Crohn's disease", "Crohn’s disease")]),
        ("the xray and the X-rays", [("x-ray", "xray")]),
        ("the X-rays and the xray", [("x-ray", "xray")]),
        ("metoprolol, then metoprolol's effect", [("metoprolol", "metoprolol")]),
        (
            "metoprolol's effect, then biopsies, a biopsy, and metoprolol",
            [("metoprolol", "metoprolol"), ("biopsy", "biopsy")],
        ),
        ("biopsies, then the biopsy's site", [("biopsy", "biopsies")]),
        ("the belly is non-tender", [("non-tender", "non-tender")]),
        ("it is non tender", [("non-tender", "non tender")]),
        (
            "two biopsies of a diverticula",
            [("biopsy", "biopsies"), ("diverticulum", "diverticula")],
        ),
        ("differential diagnoses", [("diagnosis", "diagnoses")]),
        ("a kidney stone.", [("kidney stones", "kidney stone")]),
        ("hemoglobin is low", [("haemoglobin", "hemoglobin")]),
        ("it is Parkinson's", [("Parkinson", "Parkinson's")]),
        ("an M.R.I. was done", [("MRI", "M.R.I")]),
        ("diabetes, diabetes, diabetes", [("diabetes", "diabetes")]),
        ("give 5-FU today", [("5-FU", "5-FU")]),
    ],
)
def test_terms_are_found_as_they_are_spoken(text: str, expected: list[tuple[str, str]]) -> None:
    """Longest match, spellings, inflections; each term once a row, in its own form if there."""
    assert found(text) == expected


def test_a_term_is_not_found_behind_a_prefix_that_turns_it() -> None:
    """Without "non-tender" in the formulary, "non-tender" holds no term."""
    matcher = TermMatcher([FormularyTerm("tender", "condition", "")])
    assert not matcher.find("the belly is non-tender").matches
    assert not matcher.find("the belly is non tender").matches
    assert matcher.find("the belly is tender").matches


def test_an_abbreviation_that_is_an_english_word_needs_its_capitals() -> None:
    """ALL is not "all"; in a text of capitals alone nothing says which it is."""
    assert found("treated for ALL as a child") == [("ALL", "ALL")]
    in_small_letters = MATCHER.find("all is well after the mri")
    assert [match.term.term for match in in_small_letters.matches] == ["MRI"]
    assert [term.term for term in in_small_letters.ordinary] == ["ALL"]
    assert not MATCHER.find("ALL IS WELL").matches


def test_a_term_that_is_joined_to_another_word_is_reported() -> None:
    """The contract reads "amlodipine/benazepril" as one word, so that it could never be found."""
    matches = MATCHER.find("takes amlodipine/benazepril")
    assert not matches.matches
    assert [term.term for term in matches.joined] == ["amlodipine"]


WORDS = st.sampled_from(
    [
        *(term for term, _ in TERMS),
        *("the", "all", "non", "two", "II", "2", "type", "stones,", "biopsies", "X-Ray.", "Crohns"),
        *("25", "mg", "mg/dL", "b.i.d.", "(MRI)", "'metoprolol'", "hemoglobin;", "½", "–", "é"),
    ]
)


@given(st.lists(WORDS, min_size=1, max_size=8))
def test_every_spelling_passes_the_check_of_manifests(words: list[str]) -> None:
    """What is labelled is in the row's text to the letter, and no term stands twice."""
    text = " ".join(words)
    if not any(char.isalnum() for char in text):
        return
    terms = [
        {"term": match.spelling, "entity_category": match.term.entity_category}
        for match in MATCHER.find(text).matches
    ]
    record = {"audio_filepath": "a.wav", "text": text, **({"terms": terms} if terms else {})}
    assert not list(check_record(1, record))
