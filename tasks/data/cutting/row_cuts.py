"""Choose where a long recording is cut: at pauses, in rows of a limited length, never in a term.

The cheapest cuts are found by dynamic programming: a long pause is cheap, a short row costs a
little, a row that is too long or a cut in running speech costs much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.cutting.pauses import Pause

TARGET_SHARE = 0.6
"""Rows of this share of the limit and longer cost nothing."""
_GOOD_PAUSE_S = 0.15
_BEST_PAUSE_S = 0.8
_NO_PAUSE_COST = 20.0
_TOO_LONG_COST = 1e4
_LONG_PAUSE_S = 1.5
_MARGIN_S = 0.25
"""Of a pause that stays with a row, if the pause is long enough for both rows."""


@dataclass(frozen=True, slots=True)
class WordGap:
    """What lies between two words that follow each other.

    Attributes:
        behind: the pause behind the first word; None where there is none.
        ahead: the pause before the second one; the same where nothing is said between.
        at: seconds at which to cut where there is no pause.
        is_kept: whether it must not be cut.
        unexplained: whether something is said there that the transcript lacks.
    """

    behind: Pause | None
    ahead: Pause | None
    at: float
    is_kept: bool = False
    unexplained: bool = False

    @property
    def end_of_row(self) -> float:
        """Where a row that ends here ends, in seconds."""
        if self.behind is None:
            return self.at
        middle = (self.behind.start + self.behind.end) / 2
        return middle if self.behind.seconds <= 2 * _MARGIN_S else self.behind.start + _MARGIN_S

    @property
    def start_of_row(self) -> float:
        """Where a row that begins here begins, in seconds."""
        if self.ahead is None:
            return self.at
        middle = (self.ahead.start + self.ahead.end) / 2
        return middle if self.ahead.seconds <= 2 * _MARGIN_S else self.ahead.end - _MARGIN_S

    @property
    def cost(self) -> float:
        """What a cut costs here."""
        if self.unexplained:
            return 0.0
        seconds = 0.0 if self.behind is None else self.behind.seconds
        cost = 1.0 - min(seconds, _BEST_PAUSE_S) / _BEST_PAUSE_S
        return cost + (_NO_PAUSE_COST if seconds < _GOOD_PAUSE_S else 0.0)

    @property
    def cost_of_keeping(self) -> float:
        """What it costs not to cut here: silence and speech without text lie within a row."""
        if self.unexplained:
            return _NO_PAUSE_COST
        seconds = 0.0 if self.behind is None else self.behind.seconds
        return max(0.0, seconds - _LONG_PAUSE_S)


@dataclass(frozen=True, slots=True)
class CutRow:
    """Words of a row and its span in seconds: from ``first`` to before ``last``."""

    first: int
    last: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


def choose_cuts(gaps: Sequence[WordGap], start: float, end: float, longest: float) -> list[CutRow]:
    """Divide words into rows.

    Args:
        gaps: between the words: one less than there are words.
        start: where the first row begins, in seconds.
        end: where the last row ends.
        longest: seconds of a row. Only one that may not be cut anywhere is longer.
    """
    count = len(gaps) + 1
    begins = [start, *(gap.start_of_row for gap in gaps)]
    ends = [*(gap.end_of_row for gap in gaps), end]
    target = TARGET_SHARE * longest
    best = [0.0] + [float("inf")] * count
    came_from = [0] * (count + 1)
    for last in range(1, count + 1):
        if last < count and gaps[last - 1].is_kept:
            continue
        cut = gaps[last - 1].cost if last < count else 0.0
        kept = 0.0
        for first in range(last - 1, -1, -1):
            if first < last - 1:
                kept += gaps[first].cost_of_keeping
            seconds = ends[last - 1] - begins[first]
            if best[first] < float("inf"):
                short = max(0.0, 1 - seconds / target) ** 2
                long = _TOO_LONG_COST * seconds if seconds > longest else 0.0
                cost = best[first] + cut + kept + short + long
                if cost < best[last]:
                    best[last], came_from[last] = cost, first
            # A longer row is worse than the best one that was found.
            if seconds > longest and best[last] < float("inf"):
                break
    rows = []
    last = count
    while last:
        first = came_from[last]
        rows.append(CutRow(first, last, begins[first], ends[last - 1]))
        last = first
    return rows[::-1]
