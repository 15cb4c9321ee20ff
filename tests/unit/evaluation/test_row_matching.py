"""Recognising the same row in two files."""

from __future__ import annotations

import pytest

from tasks.common.errors import InputError
from tasks.evaluation.row_matching import keys


def test_the_name_and_the_text_are_enough_where_they_are_unique() -> None:
    """Folders of two hosts do not matter, nor casing and punctuation."""
    here, there = keys([("/a/b/1.wav", "Take aspirin.")], [("audio/1.wav", "take aspirin")])
    assert here == there


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order a chest x-ray", "order a chest x ray"),
        ("take 25 steps", "take twenty five steps"),
        ("give 50 µg", "give fifty micrograms"),
        ("Crohn’s disease", "crohns disease"),
        ("aspi\u00adrin daily", "aspirin daily"),
        ("x\u2011ray", "x-ray"),
    ],
)
def test_two_spellings_of_a_sentence_are_one_row(one: str, other: str) -> None:
    """As the canonical view has it."""
    here, there = keys([("/a/1.wav", one)], [("b/1.wav", other)])
    assert here == there


def test_the_folder_counts_where_names_repeat() -> None:
    """Two voices that say one sentence into 001.wav are two rows."""
    one = [("voice_a/001.wav", "hello"), ("voice_b/001.wav", "hello")]
    two = [("/x/voice_b/001.wav", "hello"), ("/x/voice_a/001.wav", "hello")]
    here, there = keys(one, two)
    assert here == there[::-1]
    assert len(set(here)) == 2


def test_rows_that_cannot_be_told_apart_are_refused() -> None:
    """A guess would pair the wrong rows."""
    with pytest.raises(InputError, match=r"a\.wav' stands in two rows"):
        keys([("a.wav", "hello"), ("a.wav", "Hello!")])
