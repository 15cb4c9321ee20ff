"""Many rows, and the comparison of two ways to score them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.evaluation.error_counts import COUNTED, ErrorCounts
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.scoring import DIMENSIONS, score

if TYPE_CHECKING:
    from tasks.evaluation.score_summary import Summary


def assert_same(summary: Summary, found: list[Hypothesis]) -> None:
    """The tally's figures are those of the scores that keep their rows."""
    scores = score(found)

    def near(one: ErrorCounts) -> list[object]:
        return [pytest.approx(getattr(one, name)) for name in COUNTED]

    def told(one: ErrorCounts) -> list[object]:
        return [getattr(one, name) for name in COUNTED]

    assert told(summary.counts) == near(scores.counts)
    for dimension in DIMENSIONS:
        groups = scores.by(dimension)
        assert set(summary.by[dimension]) == set(groups)
        for value, group in groups.items():
            assert told(summary.by[dimension][value]) == near(group.counts)
    wanted = sorted(scores.blocks, key=told)
    assert [told(one) for one in sorted(summary.blocks, key=told)] == [near(x) for x in wanted]


def many(n: int) -> list[Hypothesis]:
    """Rows of two categories and seven terms, some right, some wrong."""
    return [
        Hypothesis(
            f"{place}.wav",
            f"please give term{place % 7} {place % 3} mg now",
            f"please give term{place % 7 if place % 4 else 'x'} {place % 5} mg now",
            f"term{place % 7}" if place % 11 else None,
            "drug" if place % 2 else "lab",
            voice_id=f"v{place % 13}",
        )
        for place in range(n)
    ]
