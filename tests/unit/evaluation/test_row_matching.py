"""Recognising the same row in two files."""

from __future__ import annotations

import pytest

from tasks.common.errors import InputError
from tasks.evaluation.row_matching import keys


def test_the_name_and_the_text_are_enough_where_they_are_unique() -> None:
    """Folders of two hosts do not matter, nor casing and punctuation."""
    here, there = keys([("/a/b/1.wav", "Take aspirin.")], [("audio/1.wav", "take aspirin")])
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
