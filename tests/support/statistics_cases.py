"""Coverage of an interval, by simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tasks.evaluation.statistics import Interval

# Coverage: how often the interval holds the truth


def covered(truth: float, intervals: list[Interval | None]) -> float:
    """The share of intervals that hold it."""
    return float(np.mean([one is not None and not one.excludes(truth) for one in intervals]))
