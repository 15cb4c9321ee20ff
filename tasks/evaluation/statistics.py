"""Intervals and tests (docs/verdict.md says which is used where, and why).

- Shares of rows (KER, SER): Wilson's score interval (Wilson 1927; Brown, Cai & DasGupta 2001).
- The same rows before and after: McNemar's test with the mid-p value (Fagerland, Lydersen & Laake
  2013), and Bonett and Price's interval for a paired difference of proportions (2012). Where the
  rows of a term may change together, McNemar's test over terms (after Obuchowski 1998). Where rows
  have several terms, the exact sign-flip test over rows.

Everything is two-sided, at 95 % unless said otherwise. Rates (WER, CER) have the bootstrap of
tasks/evaluation/block_bootstrap.py.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIDENCE = 0.95
_EXACT_FLIPS = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"[{self.low}, {self.high}] is not an interval")

    def excludes(self, value: float) -> bool:
        """Return whether a value lies outside."""
        return not self.low <= value <= self.high

    def as_list(self) -> list[float]:
        """Return the interval as JSON holds it: ``[low, high]``."""
        return [self.low, self.high]


def ends(interval: Interval | None) -> list[float] | None:
    """Return an interval as JSON holds it, or None where there is none."""
    return None if interval is None else interval.as_list()


def normal_quantile(confidence: float) -> float:
    """Return how many standard errors a two-sided interval of this confidence reaches."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(hits: float, n: float, confidence: float = CONFIDENCE) -> Interval | None:
    """Return Wilson's score interval of a share; None without rows."""
    if not n:
        return None
    z = normal_quantile(confidence)
    rate, spread = hits / n, z * z / n
    middle = (rate + spread / 2) / (1 + spread)
    half_width = z * math.sqrt(rate * (1 - rate) / n + spread / (4 * n)) / (1 + spread)
    # At the ends the exact bound is 0 or 1; only rounding keeps the formula from it.
    low = 0.0 if hits == 0 else max(0.0, middle - half_width)
    high = 1.0 if hits == n else min(1.0, middle + half_width)
    return Interval(low, high)


@lru_cache(maxsize=1 << 16)
def mcnemar_mid_p(fixed: int, broken: int) -> float:
    """Return McNemar's two-sided mid-p value of the rows that flipped either way.

    Twice the probability of a more extreme split plus that of the observed one, under a fair coin
    for each row that changed (Fagerland, Lydersen & Laake 2013). An even split, and no change at
    all, are no evidence: 1.

    Args:
        fixed: rows that were wrong before and right after.
        broken: rows that were right before and wrong after.
    """
    if min(fixed, broken) < 0:
        raise ValueError("counts cannot be negative")
    fewer, more = sorted((fixed, broken))
    if fewer == more:
        return 1.0
    # Of a fair coin: P(X <= fewer) + P(X > more), so that the observed split counts half a tail.
    changed = fewer + more
    return min(1.0, float(special.bdtr(fewer, changed, 0.5) + special.bdtrc(more, changed, 0.5)))


def sign_flip_mid_p(nets: Sequence[int]) -> float:
    """Return the two-sided mid-p value if all that changed in a row may flip together.

    The exact sign-flip test (Fisher's randomisation): each row's net change is as likely as its
    opposite. With nets of one it is McNemar's mid-p value. Of very many rows it is the normal's
    approximation, as over terms.

    Args:
        nets: of each row, terms fixed less terms broken.
    """
    total = abs(sum(nets))
    if not total:
        return 1.0
    if len(nets) > _EXACT_FLIPS:
        return clustered_p(nets)
    chances = np.ones(1)  # of each sum, from the least to the greatest; nets flip in steps of two
    for size, rows in sorted(Counter(abs(net) for net in nets if net).items()):
        heads = np.zeros(2 * size * rows + 1)
        heads[:: 2 * size] = np.exp(
            special.gammaln(rows + 1)
            - special.gammaln(np.arange(rows + 1) + 1)
            - special.gammaln(rows - np.arange(rows + 1) + 1)
            - rows * math.log(2)
        )
        chances = np.convolve(chances, heads)
    middle = len(chances) // 2
    beyond = float(chances[middle + total + 1 :].sum())
    return min(1.0, 2 * beyond + float(chances[middle + total]))


def clustered_p(nets: Sequence[int]) -> float:
    """Return McNemar's two-sided p-value if all rows of a term may flip together.

    McNemar's test for pairs in clusters, two-sided, by the normal's approximation: the sum of the
    terms' net changes over the root of the sum of their squares (after Obuchowski 1998 and
    Durkalski et al. 2003). With one changed row a term it is McNemar's own.

    Args:
        nets: rows fixed less rows broken, of each term.
    """
    net, spread = sum(nets), math.sqrt(sum(net_change * net_change for net_change in nets))
    return 2 * NormalDist().cdf(-abs(net) / spread) if net else 1.0


def paired_difference(
    fixed: float, broken: float, n: float, confidence: float = CONFIDENCE
) -> Interval | None:
    """Return Bonett and Price's interval of (share after - share before) on the same n rows.

    An adjusted Wald interval: one row is added that was fixed, and one that was broken. Chosen by
    simulation over Wald's, Newcombe's and Tango's (docs/verdict.md). None without rows.
    """
    if not n:
        return None
    if min(fixed, broken) < 0 or fixed + broken > n:
        raise ValueError(f"{fixed} fixed and {broken} broken rows do not fit into {n}")
    down, up = (fixed + 1) / (n + 2), (broken + 1) / (n + 2)
    difference = up - down
    half_width = normal_quantile(confidence) * math.sqrt((down + up - difference**2) / (n + 2))
    return Interval(max(-1.0, difference - half_width), min(1.0, difference + half_width))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's (1979) adjusted p-values, which bound the family-wise error rate."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    ranked = sorted(p_values, key=lambda name: p_values[name])
    for place, name in enumerate(ranked):
        highest = max(highest, min(1.0, (len(ranked) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}
