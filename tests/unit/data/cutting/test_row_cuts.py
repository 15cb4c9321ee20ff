"""Rows are cut at pauses, are not too long, and never divide a term."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tasks.data.cutting.pauses import Pause
from tasks.data.cutting.row_cuts import CutRow, WordGap, choose_cuts

WORD_S = 0.4


def gaps_of(pauses: list[float], kept: frozenset[int] = frozenset()) -> tuple[list[WordGap], float]:
    """Gaps of these seconds between words of ``WORD_S``, and the recording's end."""
    gaps, at = [], WORD_S
    for place, seconds in enumerate(pauses):
        pause = Pause(at, at + seconds) if seconds >= 0.03 else None
        gaps.append(WordGap(pause, pause, at + seconds / 2, is_kept=place in kept))
        at += seconds + WORD_S
    return gaps, at


def cut(pauses: list[float], longest: float, kept: frozenset[int] = frozenset()) -> list[CutRow]:
    """The rows of such a recording."""
    gaps, end = gaps_of(pauses, kept)
    return choose_cuts(gaps, 0.0, end, longest)


@given(
    st.lists(st.sampled_from([0.0, 0.05, 0.2, 0.7, 3.0]), max_size=60),
    st.sets(st.integers(0, 60)),
    st.sampled_from([3.0, 8.0]),
)
def test_rows_hold_every_word_once_and_cut_no_term(
    pauses: list[float], kept: set[int], longest: float
) -> None:
    """They follow each other; one that is too long cannot be cut anywhere."""
    rows = cut(pauses, longest, frozenset(kept))
    assert [row.first for row in rows] == [0, *(row.last for row in rows[:-1])]
    assert rows[-1].last == len(pauses) + 1
    for row, following in pairwise(rows):
        assert row.start < row.end <= following.start
        assert row.last - 1 not in kept
    for row in rows:
        if row.seconds > longest:
            inside = range(row.first, row.last - 1)
            allowed = [place for place in inside if place not in kept]
            assert not allowed


def test_a_cut_is_made_in_the_longest_pause() -> None:
    """Of nineteen short gaps and a long one, that one; a quarter of a second stays at each side."""
    pauses = [0.05] * 12 + [1.0] + [0.05] * 12
    first, second = cut(pauses, 8.0)
    assert (first.last, second.first) == (13, 13)
    speech_ends = 13 * WORD_S + 12 * 0.05
    assert round(first.end - speech_ends, 3) == 0.25
    assert round(speech_ends + 1.0 - second.start, 3) == 0.25


def test_speech_without_a_transcript_is_in_no_row() -> None:
    """The row before it ends in the pause before it, and the next begins in the one behind."""
    gap = WordGap(Pause(1.0, 1.2), Pause(4.0, 4.2), 2.6, unexplained=True)
    first, second = choose_cuts([gap], 0.0, 5.0, 20.0)
    assert (first.end, second.start) == (1.1, 4.1)


def test_a_long_silence_is_in_no_row() -> None:
    """Ten seconds of it would be trained on for nothing."""
    rows = cut([0.1] * 9 + [10.0] + [0.1] * 9, 20.0)
    assert len(rows) == 2
    assert sum(row.seconds for row in rows) < 11
