"""Intervals and tests (docs/verdict.md says which is used where, and why).

- Shares of rows (KER, SER): Wilson's score interval (Wilson 1927; Brown, Cai & DasGupta 2001).
- The same rows before and after: McNemar's test with the mid-p value (Fagerland, Lydersen & Laake
  2013), and Bonett and Price's interval for a paired difference of proportions (2012). Where the
  rows of a term may change together, McNemar's test over terms (after Obuchowski 1998). Where rows
  have several terms, the exact sign-flip test over rows.
- Rates (WER, CER): bootstrap over blocks of rows (Bisani & Ney 2004; Liu & Peng 2020), since rows
  that share a term are not independent. A block travels as its sums, and a resample is a row of
  multinomial weights, so that a thousand resamples are one product of matrices.

Everything is two-sided, at 95 % unless said otherwise, and seeded.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

CONFIDENCE = 0.95
RESAMPLES = 2000
SEED = 20260
FEWEST_BLOCKS = 5
"""Fewer blocks than this say nothing about how blocks differ: no interval."""
_WEIGHTS_AT_ONCE = 1 << 21
_EXACT_POWER_ROWS = 3000
_LARGEST_STUDY = 10_000_000
_EXACT_FLIPS = 2000

Floats = npt.NDArray[np.float64]


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


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(hits: float, n: float, confidence: float = CONFIDENCE) -> Interval | None:
    """Return Wilson's score interval of a share; None without rows."""
    if not n:
        return None
    z = _z(confidence)
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


def rows_to_show_clustered(
    nets: Sequence[float], n: float, alpha: float, power: float
) -> int | None:
    """Return how many rows, of as many more terms, show the net change; None if there is none."""
    net, squares = sum(nets), sum(net_change * net_change for net_change in nets)
    if not net:
        return None
    quantiles = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
    return math.ceil(n * quantiles**2 * squares / net**2)


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
    half_width = _z(confidence) * math.sqrt((down + up - difference**2) / (n + 2))
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


# Rates over rows that hang together in blocks


def by_block(blocks: Iterable[Hashable], *columns: Sequence[float]) -> Floats:
    """Sum each column over the rows of each block; the shape is (columns, blocks)."""
    numbers: dict[Hashable, int] = {}
    places = [numbers.setdefault(block, len(numbers)) for block in blocks]
    sums = [np.bincount(places, weights=column, minlength=len(numbers)) for column in columns]
    stacked: Floats = np.array(sums, dtype=np.float64).reshape(len(columns), len(numbers))
    return stacked


def rate_interval(
    sums: Floats,
    confidence: float = CONFIDENCE,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval | None:
    """Return the interval of a rate, by the bootstrap over blocks.

    Args:
        sums: numerators and denominators of the blocks, shape (2, blocks).
        confidence: of the interval.
        resamples: how often the blocks are drawn anew.
        seed: of the draws.

    Returns:
        The interval, or None with fewer than ``FEWEST_BLOCKS`` blocks.
    """
    return _interval(sums, lambda sample: _ratio(sample[0], sample[1]), confidence, resamples, seed)


def rate_difference(
    sums: Floats,
    confidence: float = CONFIDENCE,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval | None:
    """Return the interval of (rate after - rate before) by a joint bootstrap on the same rows.

    Args:
        sums: numerators and denominators before, then after, shape (4, blocks).
        confidence: of the interval.
        resamples: how often the blocks are drawn anew.
        seed: of the draws.
    """
    return _interval(
        sums,
        lambda sample: _ratio(sample[2], sample[3]) - _ratio(sample[0], sample[1]),
        confidence,
        resamples,
        seed,
    )


def _ratio(numerators: Floats, denominators: Floats) -> Floats:
    ratio: Floats = numerators / np.maximum(denominators, 1e-300)
    return ratio


def _interval(
    sums: Floats,
    statistic: Callable[[Floats], Floats],
    confidence: float,
    resamples: int,
    seed: int,
) -> Interval | None:
    blocks = sums.shape[1]
    if blocks < FEWEST_BLOCKS:
        return None
    values = statistic(_resample_sums(sums, resamples, seed))
    # The plain percentile interval is too short for few blocks, by sqrt(1 - 1/blocks) and by the
    # normal's quantile where Student's is due; so its ends move outwards (Hesterberg 2015).
    quantile = math.sqrt(blocks / (blocks - 1)) * float(
        special.stdtrit(blocks - 1, 0.5 + confidence / 2)
    )
    tail = NormalDist().cdf(-quantile)
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _resample_sums(sums: Floats, resamples: int, seed: int) -> Floats:
    """Return the sums over each resample of the blocks, shape (columns, resamples).

    One product a resample: in one of many, a sum's last digit may depend on how many there are.
    """
    blocks = sums.shape[1]
    rng = np.random.default_rng(seed)
    at_once = max(1, _WEIGHTS_AT_ONCE // blocks)
    parts: list[Floats] = []
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=size)
        parts += [sums @ block_weights for block_weights in weights.astype(np.float64)]
    resampled: Floats = np.stack(parts, axis=1)
    return resampled


# How many rows would settle it


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
    quantiles = _z(confidence) + NormalDist().inv_cdf(power)
    scale, variance = (quantiles / distance) ** 2, fixed + broken - (fixed - broken) ** 2
    # n = scale * (variance + 2 / n), since the interval adds two changed rows to those found.
    estimate = scale * variance / 2 + math.sqrt((scale * variance / 2) ** 2 + 2 * scale)
    return None if estimate > _LARGEST_STUDY else math.ceil(estimate)
