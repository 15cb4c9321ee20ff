"""Many words are found at once, wherever a plain search finds one of them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.privacy.traces import RecordingTraces
from tasks.privacy.word_search import WordSearch

HASHES = [f"{n:064x}" for n in (1, 2**255 + 7)]
WORD = st.one_of(st.text("ab.", min_size=1, max_size=6), st.sampled_from(HASHES))


@given(st.lists(WORD, max_size=6), st.lists(st.one_of(WORD, st.text("ab.f0")), max_size=8))
def test_it_finds_what_a_plain_search_finds(words: list[str], parts: list[str]) -> None:
    """Every place of every word, in texts and in bytes."""
    text = "".join(parts)
    expected = {
        (place, place + len(word))
        for word in words
        for place in range(len(text))
        if text.startswith(word, place)
    }
    assert set(WordSearch(words).find(text)) == expected
    in_bytes = WordSearch(word.encode() for word in words)
    assert set(in_bytes.find(text.encode())) == expected


@pytest.mark.parametrize("offset", range(0, 40, 3))
@pytest.mark.parametrize("around", [b"\xff", b"a"])
def test_a_hash_in_many_bytes_is_found_wherever_it_begins(offset: int, around: bytes) -> None:
    """There is no word in what is around it."""
    content = bytearray(around * 100_000)
    place = 70_000 + offset
    content[place : place + 64] = HASHES[1].encode()
    search = WordSearch([HASHES[1].encode()])
    assert list(search.find(bytes(content))) == [(place, place + 64)]
    content[place + 5 : place + 6] = b"-"
    assert not search.is_in(bytes(content))
    noise = random.Random(offset).randbytes(100_000)  # noqa: S311 - repeatable, not secret
    assert search.is_in(HASHES[1].encode() + noise)
    assert search.is_in(noise + HASHES[1].encode())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wrote audio/7.wav.", True),
        ("wrote 7.wav, then", True),
        ("wrote 17.wav", False),
        ("wrote x.7.wav", False),
        ("wrote 7.wav-old", False),
        ("17.wav and 7.wav", True),
    ],
)
def test_a_name_within_another_one_is_none(text: str, *, told: bool) -> None:
    """Recordings have numbers, which end alike."""
    traces = RecordingTraces(paths={"/ward/cycle1/audio/7.wav"})
    traces.seal()
    assert traces.tells(text) == told
