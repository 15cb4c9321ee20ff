"""Counts: how they add up, and which contradict each other."""

from __future__ import annotations

import pytest

from tasks.evaluation.error_counts import ErrorCounts, Proportion
from tasks.evaluation.term_occurrences import Occurrence


def test_shares_add_up_by_their_counts() -> None:
    """One of two and none of eight is one of ten, not a quarter."""
    assert (Proportion(1, 2) + Proportion(0, 8)).rate == 0.1
    assert Proportion(0, 0).rate is None


@pytest.mark.parametrize(("hits", "n"), [(2, 1), (-1, 3), (0, -1)])
def test_a_share_cannot_be_more_than_the_whole(hits: int, n: int) -> None:
    """Counts that make no sense are refused when they are made."""
    with pytest.raises(ValueError, match="not a share"):
        Proportion(hits, n)


def test_only_a_missed_term_is_missed_by_spelling() -> None:
    """Counts that contradict each other are refused."""
    with pytest.raises(ValueError, match="contradict"):
        ErrorCounts(n=1, with_term=1, rows_with_term=1, missed_by_spelling=1)
    with pytest.raises(ValueError, match="missed by spelling"):
        Occurrence("b", "drug", missed=False, spelling_only=True)
