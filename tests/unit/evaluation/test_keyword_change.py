"""The record of a change of KER: what it refuses, and what it knows without rows."""

from __future__ import annotations

import pytest

from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.keyword_change import KeywordErrorChange


def test_a_difference_between_different_rows_cannot_be_made() -> None:
    """The record checks that both sides have the same rows and that the changes add up."""
    with pytest.raises(ValueError, match="same rows"):
        KeywordErrorChange("drug", Proportion(1, 2), Proportion(1, 3), 0, 0)
    with pytest.raises(ValueError, match="do not explain"):
        KeywordErrorChange("drug", Proportion(2, 3), Proportion(1, 3), 0, 0)
    with pytest.raises(ValueError, match="terms' changes"):
        KeywordErrorChange("drug", Proportion(2, 3), Proportion(1, 3), 1, 0, (2,))
    with pytest.raises(ValueError, match="more rows were fixed"):
        KeywordErrorChange("drug", Proportion(2, 3), Proportion(1, 3), 3, 2)


def test_no_rows_have_no_p_value_and_no_interval() -> None:
    """Nothing compared is not a difference of nothing."""
    none = KeywordErrorChange("drug", Proportion(0, 0), Proportion(0, 0), 0, 0)
    assert (none.p, none.interval, none.relative) == (None, None, None)
    same = KeywordErrorChange("drug", Proportion(5, 20), Proportion(5, 20), 0, 0)
    assert same.p == 1.0
    assert same.interval is not None
    assert same.interval.low < 0 < same.interval.high
