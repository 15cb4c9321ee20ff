"""How many rows would settle a question, by the power of McNemar's test or by an interval."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from tasks.evaluation.statistics import CONFIDENCE, mcnemar_mid_p, normal_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXACT_POWER_ROWS = 3000
_LARGEST_STUDY = 10_000_000


def mcnemar_power(fixed: float, broken: float, n: int, alpha: float) -> float:
    """Return the exact probability that n rows show a drop by the mid-p test.

    Args:
        fixed: the chance that a row is fixed.
        broken: the chance that a row is broken.
        n: rows.
        alpha: of the two-sided test.
    """
    changed = fixed + broken
    if not 0 < changed <= 1:
        return 0.0
    counts = np.arange(n + 1)
    masses = np.diff(special.bdtr(counts, n, changed), prepend=0.0)
    probable_counts = counts[masses > 1e-9]  # noqa: PLR2004 - the rest adds nothing that could be seen
    chances = [
        _chance_of_drop(int(changed_rows), fixed / changed, alpha)
        for changed_rows in probable_counts
    ]
    return float(np.dot(masses[probable_counts], np.array(chances)))


def _chance_of_drop(changed: int, fixed_share: float, alpha: float) -> float:
    needed = _fixed_needed(changed, alpha)
    if needed is None:
        return 0.0
    return float(special.bdtrc(needed - 1, changed, fixed_share))


@lru_cache(maxsize=1 << 14)
def _fixed_needed(changed: int, alpha: float) -> int | None:
    """Return the fewest fixed rows, of those changed, that the mid-p test accepts as a drop."""
    low, high = changed // 2 + 1, changed
    if changed == 0 or mcnemar_mid_p(changed, 0) >= alpha:
        return None
    while low < high:
        middle = (low + high) // 2
        if mcnemar_mid_p(middle, changed - middle) < alpha:
            high = middle
        else:
            low = middle + 1
    return low


@lru_cache(maxsize=1 << 14)
def rows_to_show(fixed: float, broken: float, alpha: float, power: float) -> int | None:
    """Return how many rows show, with this power, that the two sides differ.

    Exact up to a few thousand rows, then Connor's (1987) approximation.

    Args:
        fixed: the chance that a row is fixed.
        broken: the chance that a row is broken.
        alpha: of the two-sided mid-p test.
        power: the wanted chance of seeing the difference.

    Returns:
        Rows, or None where the two chances are too close for any study.
    """
    fixed, broken = max(fixed, broken), min(fixed, broken)
    changed, difference = fixed + broken, fixed - broken
    if difference <= 0:
        return None
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
    spread = math.sqrt(max(changed - difference**2, 0.0))
    estimate = ((z_alpha * math.sqrt(changed) + z_power * spread) / difference) ** 2
    if estimate > _LARGEST_STUDY:
        return None
    if estimate > _EXACT_POWER_ROWS:
        return math.ceil(estimate)
    low, high = 1, max(8, math.ceil(estimate))
    while mcnemar_power(fixed, broken, high, alpha) < power:
        low, high = high, high + high // 2
    while low < high:
        middle = (low + high) // 2
        if mcnemar_power(fixed, broken, middle, alpha) < power:
            low = middle + 1
        else:
            high = middle
    return high


def rows_to_exclude(
    fixed: float, broken: float, margin: float, power: float, confidence: float = CONFIDENCE
) -> int | None:
    """Return how many rows show that the drop is smaller than a margin.

    Args:
        fixed: the chance that a row is fixed.
        broken: the chance that a row is broken.
        margin: the drop, in share of rows, that the interval must exclude.
        power: the wanted chance that it does.
        confidence: of the interval.

    Returns:
        Rows, or None where the drop is not smaller, or too close to it for any study.
    """
    distance = margin - (fixed - broken)
    if distance <= 0:
        return None
    quantiles = normal_quantile(confidence) + NormalDist().inv_cdf(power)
    scale, variance = (quantiles / distance) ** 2, fixed + broken - (fixed - broken) ** 2
    # n = scale * (variance + 2 / n), since the interval adds two changed rows to those found.
    estimate = scale * variance / 2 + math.sqrt((scale * variance / 2) ** 2 + 2 * scale)
    return None if estimate > _LARGEST_STUDY else math.ceil(estimate)


def rows_to_show_clustered(
    nets: Sequence[float], n: float, alpha: float, power: float
) -> int | None:
    """Return how many rows, of as many more terms, show the net change; None if there is none."""
    net, squares = sum(nets), sum(net_change * net_change for net_change in nets)
    if not net:
        return None
    quantiles = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
    return math.ceil(n * quantiles**2 * squares / net**2)
