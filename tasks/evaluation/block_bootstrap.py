"""Intervals of rates (WER, CER) by the bootstrap over blocks of rows.

Rows that share a term are not independent (Bisani & Ney 2004; Liu & Peng 2020). A block travels as
its sums, and a resample is a row of multinomial weights, so that a thousand resamples are one
product of matrices. Everything is two-sided, at 95 % unless said otherwise, and seeded.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special

from tasks.evaluation.statistics import CONFIDENCE, Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

RESAMPLES = 2000
SEED = 20260
FEWEST_BLOCKS = 5
"""Fewer blocks than this say nothing about how blocks differ: no interval."""
_WEIGHTS_AT_ONCE = 1 << 21
Floats = npt.NDArray[np.float64]


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
