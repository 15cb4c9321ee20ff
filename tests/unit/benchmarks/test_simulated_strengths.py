"""The simulation of a strength that rows choose."""

from __future__ import annotations

import numpy as np

from benchmarks.simulated_strengths import draw_misses, is_kept, simulate


def test_other_rows_keep_seldom_and_the_same_rows_more_often() -> None:
    """A useless strength is kept in at most 5 % where the rows that chose it do not judge."""
    apart, same = simulate(400, 45)
    assert apart <= 0.05
    assert same > apart


def test_no_strength_helps_on_the_whole() -> None:
    """Over many rows each misses as much as the base; and a true gain is kept."""
    base, judged = draw_misses(np.random.default_rng(1), 20_000)
    assert np.allclose(judged.mean(axis=1), base.mean(), atol=0.02)
    assert is_kept(np.array([True] * 20), np.array([False] * 20))
