"""What a base is taught and what is scored; invisible characters; terms in another spelling."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tasks.data.audio_checks import AudioLimits
from tasks.data.manifest import parse_manifest
from tasks.data.preflight import PreflightResult, preflight
from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import style_of
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = AudioLimits(sample_rate=16000, min_duration=0.1, max_duration=20.0)


def look(cycle: Path, nemo: Path, text: str, term: str | None = None) -> PreflightResult:
    """Preflight of ten rows, the first with this text."""
    rows = factories.cycle_rows()
    rows[0] |= {"text": text, "term": term}
    factories.write_rows(cycle / "manifest.jsonl", rows)
    return preflight(cycle / "manifest.jsonl", LIMITS, style_of(open_archive(nemo)))


def codes(result: PreflightResult) -> set[str]:
    """The findings on the first row, but for what is told of whole files."""
    return {found.code for found in result.findings if found.row == 1} - {"restyled"}


@pytest.mark.parametrize(
    "text",
    [
        "give beta-blocker now",
        "order the follow-up now",
        "give the beta\u2011blocker now",
        "the non-tender belly",
        "order a chest x-ray",
    ],
)
def test_what_is_taught_and_what_is_scored_are_compared(
    cycle: Path, lower_nemo: Path, text: str
) -> None:
    """A base without hyphens learns two words where one is scored; the fix ends it."""
    result = look(cycle, lower_nemo, text)
    result.raise_errors()
    assert "taught-otherwise" in codes(result)
    (found,) = [one for one in result.warnings if one.code == "taught-otherwise"]
    assert "-" in found.problem
    fixed = found.fix.removeprefix("write text and term as the base does: ").strip("'")
    assert codes(look(cycle, lower_nemo, fixed)) == set()


@pytest.mark.parametrize(
    "text",
    [
        "give aspirin now",
        "The doctor wrote Aspirin, into the chart.",
        "the doctor wrote (aspirin)",
        "give aspirin \u2013 now",
        "the doctor\u2019s chart",
    ],
)
def test_case_and_marks_are_no_difference(cycle: Path, lower_nemo: Path, text: str) -> None:
    """The normaliser drops them as the training copy does."""
    assert "taught-otherwise" not in codes(look(cycle, lower_nemo, text))


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("give aspi\u00adrin now", "U+00AD"),
        ("give aspi\u200brin now", "U+200B"),
        ("give aspi\u200crin now", "U+200C"),
        ("\ufeffgive aspirin now", "U+FEFF"),
        ("give aspi\u2060rin now", "U+2060"),
    ],
)
def test_invisible_characters_are_dropped_and_told(
    cycle: Path, lower_nemo: Path, text: str, character: str
) -> None:
    """UniversalDependencies/docs#1010, fnl/syntok#18: they are in text from the web."""
    result = look(cycle, lower_nemo, text)
    result.raise_errors()
    assert codes(result) == {"text-format-characters"}
    assert character in str(result.warnings)
    assert result.rows[0].training_text == "give aspirin now"


def test_an_invisible_character_in_a_term_is_told(cycle: Path, lower_nemo: Path) -> None:
    """The term is found all the same."""
    result = look(cycle, lower_nemo, "give aspirin now", "aspi\u00adrin")
    result.raise_errors()
    assert codes(result) == {"term-format-characters"}


@pytest.mark.parametrize(
    ("text", "term", "spelling"),
    [
        ("order a chest x ray now", "x-ray", "x ray"),
        ("give fifty micrograms daily", "50 mcg", "fifty micrograms"),
        ("he has crohn disease", "Crohn's disease", "crohn disease"),
        ("measure the haemoglobin", "hemoglobin", "haemoglobin"),
        ("take it b.i.d. with food", "b i d", "b.i.d"),
        ("plan the follow-up", "follow up", "follow-up"),
    ],
)
def test_a_term_in_another_spelling_is_named_with_the_texts(
    tmp_path: Path, text: str, term: str, spelling: str
) -> None:
    """It is no missing term; the fix is the text's own spelling, and ends the finding."""
    path = tmp_path / "manifest.jsonl"
    row = {"audio_filepath": "a.wav", "text": text, "term": term, "entity_category": "lab"}
    path.write_text(json.dumps(row))
    _, (found,) = parse_manifest(path)
    assert found.code == "term-spelled-otherwise"
    assert found.fix == f"write the term as the text does: {spelling!r}"
    path.write_text(json.dumps({**row, "term": spelling}))
    assert parse_manifest(path)[1] == ()


def test_a_term_behind_a_slash_needs_a_word_of_its_own(tmp_path: Path) -> None:
    """The contract's normaliser joins "amlodipine/benazepril"."""
    path = tmp_path / "manifest.jsonl"
    row = {"audio_filepath": "a.wav", "text": "on amlodipine/benazepril", "term": "amlodipine"}
    path.write_text(json.dumps(row))
    _, (found,) = parse_manifest(path)
    assert found.fix == "write the term in the text as a word of its own"
    path.write_text(json.dumps({**row, "text": "on amlodipine / benazepril"}))
    assert parse_manifest(path)[1] == ()


def test_a_term_with_another_meaning_is_missing(tmp_path: Path) -> None:
    """The article and a word are not the word with its prefix."""
    path = tmp_path / "manifest.jsonl"
    path.write_text(
        json.dumps({"audio_filepath": "a.wav", "text": "he is a febrile child", "term": "afebrile"})
    )
    _, (found,) = parse_manifest(path)
    assert found.code == "term-not-in-text"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("give a beta blocker", "duplicate-audio"),
        ("give a betablocker", "duplicate-audio"),
        ("give an alpha blocker", "conflicting-text"),
    ],
)
def test_one_recording_in_two_spellings_is_no_conflict(cycle: Path, text: str, code: str) -> None:
    """Under another name, with another text: only other words are another transcript."""
    rows = factories.cycle_rows()
    rows[0] |= {"text": "give a beta blocker", "term": None}
    (cycle / "audio/again.wav").write_bytes((cycle / "audio/0.wav").read_bytes())
    rows.append({**rows[0], "audio_filepath": "audio/again.wav", "text": text})
    factories.write_rows(cycle / "manifest.jsonl", rows)
    result = preflight(cycle / "manifest.jsonl", LIMITS, None)
    assert [(found.code, found.row) for found in result.findings] == [(code, 11)]
