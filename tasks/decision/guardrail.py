"""The guardrail against forgetting: general English before and after tuning.

A model tuned on a clinic's words can lose the rest of the language. So a set of general English,
none of it trained on, is decoded by base and tuned model, and the rise of the word error rate is
held against a limit that stands before the run. The figure is the pooled (corpus-level) WER, since
limits in points of WER are meant so in the literature; the mean of rows stands beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.evaluation.statistics import Interval, by_block, rate_difference

if TYPE_CHECKING:
    from tasks.evaluation.scoring import Scores


class GuardrailStatus(StrEnum):
    """Whether the limit was kept."""

    HELD = "held"
    BROKEN = "broken"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class GuardrailPolicy:
    """The limit, set before the run.

    Attributes:
        absolute: how far the pooled WER may rise, as a share: 0.005 is half a point.
        weak_base: above this WER of the base, half a point is less than noise; then the limit is
            relative.
        relative: how far the WER of a weak base may rise, of itself.
    """

    absolute: float = 0.005
    weak_base: float = 0.10
    relative: float = 0.05

    def __post_init__(self) -> None:
        if not (self.absolute >= 0 and self.relative >= 0 and self.weak_base >= 0):
            raise ValueError("a limit cannot be negative")

    @classmethod
    def of_points(cls, points: float | None) -> GuardrailPolicy:
        """Return a policy with a limit in points of WER, for any base; the default for None."""
        return cls() if points is None else cls(absolute=points / 100, weak_base=1.0)

    def limit(self, before: float) -> float:
        """Return the largest rise allowed to a base of this WER."""
        return self.relative * before if before > self.weak_base else self.absolute


@dataclass(frozen=True, slots=True)
class Guardrail:
    """General English before and after.

    Attributes:
        n: sentences.
        before: the base's pooled WER.
        after: the tuned model's.
        mean_before: the mean of the rows' WER, base.
        mean_after: the same, tuned.
        interval: 95 % interval of (after - before), pooled; None with too few sentences.
        limit: the largest rise allowed.
    """

    n: int
    before: float
    after: float
    mean_before: float
    mean_after: float
    interval: Interval | None
    limit: float

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError("a guardrail needs a sentence")

    @property
    def rise(self) -> float:
        """After minus before."""
        return self.after - self.before

    @property
    def status(self) -> GuardrailStatus:
        """Held at or under the limit; broken over it if the rise is no chance; else unclear."""
        if self.rise <= self.limit:
            return GuardrailStatus.HELD
        if self.interval is not None and self.interval.low > 0:
            return GuardrailStatus.BROKEN
        return GuardrailStatus.UNCLEAR

    @property
    def sentences_needed(self) -> int | None:
        """Sentences whose interval would exclude no rise, if the rise stays as it is."""
        if self.interval is None or self.rise <= 0:
            return None
        half_width = (self.interval.high - self.interval.low) / 2
        return max(self.n + 1, math.ceil(self.n * (half_width / self.rise) ** 2))

    def __str__(self) -> str:
        between = ""
        if self.interval is not None:
            between = (
                f", 95 % interval {100 * self.interval.low:+.2f} to {100 * self.interval.high:+.2f}"
            )
        return (
            f"General English: pooled WER {self.before:.3f} → {self.after:.3f} on {self.n} "
            f"sentences ({100 * self.rise:+.2f} points{between}; limit "
            f"{100 * self.limit:+.2f}): {self.status.value}."
        )

    def as_dict(self) -> dict[str, object]:
        """Return the guardrail as decision.json holds it."""
        return {
            "status": self.status.value,
            "n": self.n,
            "pooled_wer_a": self.before,
            "pooled_wer_b": self.after,
            "wer_a": self.mean_before,
            "wer_b": self.mean_after,
            "rise": self.rise,
            "ci": None if self.interval is None else self.interval.as_list(),
            "limit": self.limit,
        }


def check_guardrail(before: Scores, after: Scores, policy: GuardrailPolicy) -> Guardrail:
    """Compare two evaluations of the same sentences, in the same order, with the limit."""
    if before.n != after.n:
        raise ValueError("base and tuned model must have the same sentences")
    rises = (before.pooled_wer, after.pooled_wer, before.wer, after.wer)
    pooled_before, pooled_after, mean_before, mean_after = (rate or 0.0 for rate in rises)
    sums = by_block(
        range(before.n),
        [row.word_edits for row in before.rows],
        [row.ref_words for row in before.rows],
        [row.word_edits for row in after.rows],
        [row.ref_words for row in after.rows],
    )
    return Guardrail(
        before.n,
        pooled_before,
        pooled_after,
        mean_before,
        mean_after,
        rate_difference(sums),
        policy.limit(pooled_before),
    )
