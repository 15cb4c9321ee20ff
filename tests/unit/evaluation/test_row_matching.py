"""Recognising the same row in two files."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.errors import InputError
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.row_matching import keys, match_rows

if TYPE_CHECKING:
    from random import Random


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


def row(audio: str, ref: str, sound: str | None = None, term: str | None = None) -> Hypothesis:
    """An evaluation's row."""
    return Hypothesis(audio, ref, "", term, audio_sha256=sound)


def matched(before: list[Hypothesis], after: list[Hypothesis]) -> list[tuple[int, int]]:
    """The places of common rows, none of which was converted."""
    found = match_rows(before, after)
    assert found.converted == 0
    return list(found.places)


def test_a_grown_corpus_is_matched_by_sound_whatever_its_files_are_called() -> None:
    """A new row on top shifts every name, and each voice says the same sentence."""
    old = [row(f"audio/{number}.flac", "take aspirin", f"voice {number}") for number in range(9)]
    new = [row("audio/0.flac", "take aspirin", "a new voice")]
    new += [row(f"audio/{n + 1}.flac", one.ref, one.audio_sha256) for n, one in enumerate(old)]
    assert matched(old, new) == [(place, place + 1) for place in range(9)]
    assert matched(new, old) == [(place + 1, place) for place in range(9)]


@given(st.lists(st.sampled_from("abcde"), max_size=8), st.randoms(use_true_random=False))
def test_equal_sounds_are_matched_once_each(sounds: list[str], order: Random) -> None:
    """As many rows of a sound as both evaluations have, in whatever order they are."""
    names = [f"{place}.wav" for place in range(len(sounds))]
    old = [row(name, "take it", sound) for name, sound in zip(names, sounds, strict=True)]
    new = [row(f"new/{place}.wav", "Take it.", sound) for place, sound in enumerate("aabce")]
    order.shuffle(new)
    found = match_rows(old, new)
    if not found.converted:
        assert len(set(found.places)) == len(found.places)
        assert [new[place].audio_sha256 for _, place in found.places] == [
            old[place].audio_sha256 for place, _ in found.places
        ]
        shared = Counter(sounds) & Counter("aabce")
        assert len(found.places) == shared.total()


def test_rows_of_one_recording_are_matched_by_their_terms() -> None:
    """Two rows of one sound and one text, in another order and with other names."""
    old = [row("1.wav", "a and b", "x", "a"), row("2.wav", "a and b", "x", "b")]
    new = [row("5.wav", "a and b", "x", "b"), row("6.wav", "a and b", "x", "a")]
    assert matched(old, new) == [(1, 0), (0, 1)]
    assert matched(old, [row("5.wav", "a and b", "x", "c")]) == [(0, 0)]


def test_a_text_that_was_corrected_makes_another_row() -> None:
    """As without hashes: the reference is what an error is counted against."""
    old = [row("1.wav", "take aspirin", "x"), row("2.wav", "take heparin", "y")]
    new = [row("1.wav", "take aspirins", "x"), row("2.wav", "take heparin", "y")]
    assert matched(old, new) == [(1, 1)]


def test_rows_of_older_versions_are_matched_by_name() -> None:
    """All of them, or those on one side; none that the sound has matched already."""
    old = [row("1.wav", "one", None), row("2.wav", "two", "y"), row("3.wav", "three", "z")]
    new = [row("1.wav", "one", "x"), row("9.wav", "two", "y"), row("3.wav", "three", None)]
    assert matched(old, new) == [(0, 0), (1, 1), (2, 2)]
    bare = [row(one.audio_filepath, one.ref) for one in old]
    assert matched(bare, new) == [(0, 0), (2, 2)]
    assert matched(bare, bare) == [(0, 0), (1, 1), (2, 2)]


def test_other_samples_under_one_name_are_two_recordings() -> None:
    """Where the sound tells of other rows; a corpus that was converted as a whole is compared."""
    old = [row("1.wav", "one", "x"), row("2.wav", "two", "y")]
    new = [row("1.wav", "one", "recorded anew"), row("2.wav", "two", "y")]
    assert matched(old, new) == [(1, 1)]
    converted = [row("1.wav", "one", "x at 8 kHz"), row("2.wav", "two", "y at 8 kHz")]
    found = match_rows(old, converted)
    assert found.places == ((0, 0), (1, 1))
    assert found.converted == 2
