"""The writing style of a base, and what bringing text to it may and may not drop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import WritingStyle, style_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def lower(lower_nemo: Path) -> WritingStyle:
    """A base that writes small letters and nothing else."""
    return style_of(open_archive(lower_nemo))


@pytest.fixture(scope="module")
def cased(cased_nemo: Path) -> WritingStyle:
    """A base that writes capitals, full stop, comma and question mark."""
    return style_of(open_archive(cased_nemo))


def test_a_style_is_read_from_the_tokenizer(lower: WritingStyle, cased: WritingStyle) -> None:
    """Capitals and punctuation, or neither."""
    assert (lower.cased, lower.punctuated) == (False, False)
    assert (cased.cased, cased.punctuated) == (True, True)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Give Aspirin, now!", "give aspirin now"),
        ("  two   spaces ", "two spaces"),
        ("the patient's pulse", "the patients pulse"),
        ("the patient\u2019s pulse", "the patients pulse"),
        ("a chest x-ray", "a chest x ray"),
        ("now \u2014 or later", "now or later"),
        ("\u201cquoted\u201d (bracketed) [more]", "quoted bracketed more"),
        ("wait\u2026", "wait"),
        ("end.", "end"),
        ("", ""),
        ("?!", ""),
    ],
)
def test_what_a_plain_base_cannot_write_is_dropped(
    lower: WritingStyle, text: str, wanted: str
) -> None:
    """Capitals become small, sentence marks go, dashes between words become spaces."""
    assert lower.rewrite(text) == wanted
    assert lower.unknown_in(wanted) == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("1.5", "1.5"),
        ("5-10", "5-10"),
        ("mg/dl", "/"),
        ("80%", "%"),
        ("take 3 a day", "3"),
        ("b.i.d", "b.i.d"),
        ("naïve", "ï"),
        ("120:80", "120:80"),
    ],
)
def test_what_carries_meaning_is_never_dropped(lower: WritingStyle, text: str, kept: str) -> None:
    """Digits, points in numbers, slashes and letters of other alphabets stay, and are unknown."""
    rewritten = lower.rewrite(text)
    assert kept in rewritten
    assert lower.unknown_in(rewritten)


def test_a_base_that_writes_capitals_and_marks_keeps_them(cased: WritingStyle) -> None:
    """Text in its style is not touched."""
    text = "The patient takes Aspirin, but not today."
    assert cased.rewrite(text) == text
    assert cased.unknown_in(text) == []


def test_a_base_with_marks_still_loses_those_it_lacks(cased: WritingStyle) -> None:
    """An exclamation mark that was never seen goes, the comma stays."""
    assert cased.rewrite("Now, now!") == "Now, now"


def test_accents_are_brought_together_before_they_are_judged(lower: WritingStyle) -> None:
    """A letter and its accent as two characters are the letter that has the accent."""
    assert lower.rewrite("cafe\u0301") == "caf\u00e9"


@given(st.text("abcXYZ .,'-!?1é/", max_size=20))
def test_rewriting_twice_changes_nothing_more(text: str) -> None:
    """The result is in the style already; letters and digits are all still there."""
    known = frozenset("abcxyzé ")
    style = WritingStyle(cased=False, punctuated=False, unknown_in=lambda t: sorted(set(t) - known))
    once = style.rewrite(text)
    assert style.rewrite(once) == once
    assert [c for c in once if c.isalnum()] == [c for c in text.lower() if c.isalnum()]
