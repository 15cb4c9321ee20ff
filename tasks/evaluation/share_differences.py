"""Differences of rows that were decoded several times: a row's misses are a share, not yes or no.

A row that was decoded under N variants (tasks/transcription/variants.py) is missed 0 to N times.
McNemar's test wants rows that flip, so another one takes its place, which is McNemar's own where
every share is 0 or 1:

- p: a sign-flip permutation of the terms' sums of row differences. If both models hear a term
  alike, its sum might as well have the other sign. With fewer terms that changed than such a test
  needs, the rows are flipped, as McNemar does. Exact where small, then by seeded draws.
- interval: the bootstrap over terms, with one row more that was fixed and one that was broken, as
  Bonett & Price (2012) add to theirs, so that rows without a change do not seem to exclude any.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tasks.evaluation import statistics
from tasks.evaluation.block_bootstrap import FEWEST_BLOCKS, SEED, by_block, rate_difference

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from tasks.evaluation.statistics import Interval

_EXACT_PARTS = 2000
_EXACT_STEPS = 1 << 16
_DRAWS = 20_000
_AT_ONCE = 1 << 20


# Without slots: p and interval are kept once they are known.
@dataclass(frozen=True)
class ShareDifferences:
    """The differences of occurrences whose rows were decoded as often before as after.

    Attributes:
        decodes: of each row and side.
        before: of each occurrence of a term, how many decodes of its row missed it.
        after: the same after.
        terms: of each.
        rows: of each.
    """

    decodes: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    terms: tuple[Hashable, ...]
    rows: tuple[Hashable, ...]

    def __post_init__(self) -> None:
        if not len(self.before) == len(self.after) == len(self.terms) == len(self.rows):
            raise ValueError("a difference needs the same rows on both sides")
        if any(not 0 <= missed <= self.decodes for missed in (*self.before, *self.after)):
            raise ValueError(f"a row of {self.decodes} decodes is missed 0 to {self.decodes} times")

    @property
    def differences(self) -> tuple[int, ...]:
        """Of each occurrence, decodes that missed it after, less those before."""
        return tuple(b - a for a, b in zip(self.before, self.after, strict=True))

    @property
    def hits(self) -> tuple[float, float]:
        """The shares before and after, added up."""
        return sum(self.before) / self.decodes, sum(self.after) / self.decodes

    @property
    def fixed(self) -> int:
        """Occurrences whose share of misses fell by half or more."""
        return sum(2 * change <= -self.decodes for change in self.differences)

    @property
    def broken(self) -> int:
        """Occurrences whose share of misses rose by half or more."""
        return sum(2 * change >= self.decodes for change in self.differences)

    def sums(self, groups: Sequence[Hashable]) -> tuple[int, ...]:
        """Return the sum of the differences of each group that changed."""
        by_group: Counter[Hashable] = Counter()
        for group, change in zip(groups, self.differences, strict=True):
            by_group[group] += change
        return tuple(total for total in by_group.values() if total)

    @property
    def over_terms(self) -> bool:
        """Whether enough terms changed for a test over terms."""
        return len(self.sums(self.terms)) >= FEWEST_BLOCKS

    @property
    def tested(self) -> tuple[float, ...]:
        """What the test flips, as shares: the terms' sums, or the rows' with too few terms."""
        sums = self.sums(self.terms if self.over_terms else self.rows)
        return tuple(one / self.decodes for one in sums)

    @cached_property
    def p(self) -> float | None:
        """The two-sided mid-p value of the difference; None without rows.

        Over terms where enough of them changed; where rows have several terms, the larger of that
        and of the one over rows.
        """
        if not self.terms:
            return None
        several = len(set(self.rows)) < len(self.rows)
        p_values = []
        if several or not self.over_terms:
            p_values.append(sign_flip_p(self.sums(self.rows)))
        if self.over_terms:
            p_values.append(sign_flip_p(self.sums(self.terms)))
        return max(p_values)

    @cached_property
    def interval(self) -> Interval | None:
        """The 95 % interval of (KER after - KER before); None with too few rows."""
        blocks = self.terms
        if len(set(blocks)) < FEWEST_BLOCKS:
            blocks = self.rows
        added = ("one row that was fixed", "one row that was broken")
        shares = [change / self.decodes for change in self.differences]
        rows = [1.0] * (len(shares) + 2)
        none = [0.0] * len(rows)
        sums = by_block([*blocks, *added], none, rows, [*shares, -1.0, 1.0], rows)
        return rate_difference(sums)

    @property
    def inflation(self) -> float:
        """How many times the variance of independent occurrences that of the net change is."""
        squares = sum(change * change for change in self.differences)
        if not squares:
            return 1.0
        return max(1.0, sum(net * net for net in self.sums(self.rows)) / squares)

    @property
    def moments(self) -> tuple[float, float]:
        """The sums of fixed and of broken occurrences that explain the mean and its variance.

        Of whole misses they are the counts; of shares the variance is smaller, and with it both.
        """
        shares = [change / self.decodes for change in self.differences]
        total, squares = sum(shares), sum(share * share for share in shares)
        return (squares - total) / 2, (squares + total) / 2


def sign_flip_p(sums: Sequence[int]) -> float:
    """Return the two-sided mid-p value of a sum under random signs of its parts.

    Exact up to some tens of thousands of steps of the sum, then by seeded draws. A sum of 0 is no
    evidence: 1.

    Args:
        sums: whole numbers.
    """
    steps = sum(map(abs, sums))
    if len(sums) <= _EXACT_PARTS and steps <= _EXACT_STEPS:
        return statistics.sign_flip_mid_p(sums)
    return _drawn_p(sums) if sum(sums) else 1.0


def _drawn_p(sums: Sequence[int]) -> float:
    rng = np.random.default_rng(SEED)
    column = np.abs(np.array(sums, dtype=np.float64))
    observed = abs(sum(sums))
    more = equal = 0
    at_once = max(1, _AT_ONCE // len(column))
    for start in range(0, _DRAWS, at_once):
        signs = rng.integers(0, 2, (min(at_once, _DRAWS - start), len(column)), dtype=np.int8)
        # In 64 bits: whole numbers of any size add up exactly.
        distance = np.abs((2.0 * signs - 1.0) @ column)
        more += int((distance > observed).sum())
        equal += int((distance == observed).sum())
    # The observed signs are one of the draws, so that no p-value is 0.
    return min(1.0, (more + (equal + 1) / 2) / (_DRAWS + 1))
