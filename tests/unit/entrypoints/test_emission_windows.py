"""Windows cover a recording, and each of their frames counts once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.entrypoints.emission_windows import plan_windows


@given(st.integers(0, 3000), st.integers(5, 400), st.integers(0, 100))
def test_each_frame_counts_once_with_a_margin_around_it(
    frames: int, longest: int, margin: int
) -> None:
    """No window is longer than allowed; away from the ends each side has its margin."""
    if longest <= 2 * margin:
        with pytest.raises(ValueError, match="no middle"):
            plan_windows(frames, longest, margin)
        return
    windows = plan_windows(frames, longest, margin)
    counted = [frame for one in windows for frame in range(one.first, one.last)]
    assert counted == list(range(frames))
    for one in windows:
        assert 0 <= one.start <= one.first < one.last <= one.end <= frames
        assert one.end - one.start <= longest
        assert one.first - one.start == margin or one.start == 0
        assert one.end - one.last == margin or one.end == frames
