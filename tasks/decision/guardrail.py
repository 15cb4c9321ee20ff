"""The guardrail against forgetting: general English before and after tuning.

A model tuned on a clinic's words can lose the rest of the language. So a set of general English,
none of it trained on, is decoded by base and tuned model, and the rise of the word error rate is
held against a limit that stands before the run. The figure is the pooled (corpus-level) WER, since
limits in points of WER are meant so in the literature; the mean of rows stands beside it. It is
taken in the canonical view (tasks/data/canonical.py): a model that writes "twenty five" for "25"
has lost no English. Where the words to the letter give another figure, that stands beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.evaluation.block_bootstrap import by_block, rate_difference
from tasks.evaluation.scoring import canonical_errors
from tasks.evaluation.statistics import Interval, ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.evaluation.scoring import Scores


# Under half a point no set of a few hundred sentences can tell anything.
_LEAST_ROOM = 0.005
UPPER_CONFIDENCE = 0.95
"""Of the one-sided interval whose end must lie under the bound."""


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
        bound: the upper end of the rise's one-sided 95 % interval may be this many limits, or half
            a point above the limit, if that is more.
    """

    absolute: float = 0.005
    weak_base: float = 0.10
    relative: float = 0.05
    bound: float = 2.0

    def __post_init__(self) -> None:
        if not (self.absolute >= 0 and self.relative >= 0 and self.weak_base >= 0):
            raise ValueError("a limit cannot be negative")
        if self.bound < 1:
            raise ValueError("the bound of the interval cannot lie under the limit")

    @classmethod
    def of_points(cls, points: float | None) -> GuardrailPolicy:
        """Return a policy with a limit in points of WER, for any base; the default for None."""
        return cls() if points is None else cls(absolute=points / 100, weak_base=1.0)

    def limit(self, before: float) -> float:
        """Return the largest rise allowed to a base of this WER."""
        return self.relative * before if before > self.weak_base else self.absolute

    def largest_upper_end(self, limit: float) -> float:
        """Return the bound of the interval's upper end for a limit."""
        return max(self.bound * limit, limit + _LEAST_ROOM)


@dataclass(frozen=True, slots=True)
class Guardrail:
    """General English before and after.

    Attributes:
        n: sentences.
        before: the base's pooled WER, in the canonical view.
        after: the tuned model's.
        mean_before: the mean of the rows' WER, base; to the letter.
        mean_after: the same, tuned.
        interval: 95 % interval of (after - before), pooled; None with too few sentences.
        limit: the largest rise allowed.
        upper: the upper end of the one-sided 95 % interval of the rise; None with too few.
        bound: the largest upper end allowed.
        synthetic: whether the sentences are this tool's own, spoken by a program.
        to_the_letter: the same, where every spelling is a word of its own; None where that makes
            no difference.
    """

    n: int
    before: float
    after: float
    mean_before: float
    mean_after: float
    interval: Interval | None
    limit: float
    upper: float | None = None
    bound: float = math.inf
    synthetic: bool = False
    to_the_letter: Guardrail | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError("a guardrail needs a sentence")

    @property
    def rise(self) -> float:
        """After minus before."""
        return self.after - self.before

    @property
    def status(self) -> GuardrailStatus:
        """Held, broken or unclear.

        Held at or under the limit, if the sentences exclude a rise beyond the bound; broken over
        the limit, if the rise is no chance; else unclear.
        """
        if self.rise <= self.limit and (self.upper is None or self.upper <= self.bound):
            return GuardrailStatus.HELD
        if self.rise <= self.limit:
            return GuardrailStatus.UNCLEAR
        if self.interval is not None and self.interval.low > 0:
            return GuardrailStatus.BROKEN
        return GuardrailStatus.UNCLEAR

    @property
    def sentences_needed(self) -> int | None:
        """Sentences that would settle it, if the rise stays as it is.

        Over the limit they exclude no rise; at or under it they exclude one beyond the bound.
        """
        if self.interval is None or self.upper is None:
            return None
        if self.rise <= self.limit:
            width = self.upper - self.rise
            return max(self.n + 1, math.ceil(self.n * (width / (self.bound - self.rise)) ** 2))
        if self.rise <= 0:
            return None
        half_width = (self.interval.high - self.interval.low) / 2
        return max(self.n + 1, math.ceil(self.n * (half_width / self.rise) ** 2))

    def __str__(self) -> str:
        between = ""
        if self.interval is not None:
            between = (
                f", 95 % interval {100 * self.interval.low:+.2f} to {100 * self.interval.high:+.2f}"
            )
        kind = "synthetic sentences" if self.synthetic else "sentences"
        at_most = ""
        if self.upper is not None:
            at_most = (
                f"; with {100 * UPPER_CONFIDENCE:.0f} % confidence at most "
                f"{100 * self.upper:+.2f}, bound {100 * self.bound:+.2f}"
            )
        spelling = ""
        if (letter := self.to_the_letter) is not None:
            spelling = (
                f" Counted to the letter it is {letter.before:.3f} → {letter.after:.3f}: "
                f"{letter.status.value}."
            )
        return (
            f"General English: pooled WER {self.before:.3f} → {self.after:.3f} on {self.n} "
            f"{kind} ({100 * self.rise:+.2f} points{between}; limit "
            f"{100 * self.limit:+.2f}{at_most}): {self.status.value}.{spelling}"
        )

    def as_dict(self) -> dict[str, object]:
        """Return the guardrail as decision.json holds it.

        ``pooled_wer_a`` and ``_b`` are to the letter; status, rise, interval and bound are of
        ``canonical_wer_a`` and ``_b``.
        """
        letter = self.to_the_letter or self
        return {
            "status": self.status.value,
            "status_to_the_letter": letter.status.value,
            "n": self.n,
            "canonical_wer_a": self.before,
            "canonical_wer_b": self.after,
            "pooled_wer_a": letter.before,
            "pooled_wer_b": letter.after,
            "wer_a": self.mean_before,
            "wer_b": self.mean_after,
            "rise": self.rise,
            "ci": ends(self.interval),
            "limit": self.limit,
            "upper": self.upper,
            "upper_confidence": UPPER_CONFIDENCE,
            "bound": None if math.isinf(self.bound) else self.bound,
            "synthetic": self.synthetic,
        }


def check_guardrail(
    before: Scores, after: Scores, policy: GuardrailPolicy, *, synthetic: bool = False
) -> Guardrail:
    """Compare two evaluations of the same sentences, in the same order, with the limit.

    Args:
        before: of the base.
        after: of the tuned model.
        policy: the limit and the bound.
        synthetic: whether the sentences are this tool's own.
    """
    if before.n != after.n:
        raise ValueError("base and tuned model must have the same sentences")
    means = (before.wer or 0.0, after.wer or 0.0)
    letter = tuple(
        (row.word_edits, row.ref_words) for scores in (before, after) for row in scores.rows
    )
    spoken = tuple(canonical_errors(row) for scores in (before, after) for row in scores.rows)
    to_the_letter = _hold_against(letter, means, policy, synthetic=synthetic)
    if spoken == letter:
        return to_the_letter
    guardrail = _hold_against(spoken, means, policy, synthetic=synthetic)
    if (guardrail.before, guardrail.after) == (to_the_letter.before, to_the_letter.after):
        return guardrail
    return replace(guardrail, to_the_letter=to_the_letter)


def _hold_against(
    errors: Sequence[tuple[int, int]],
    means: tuple[float, float],
    policy: GuardrailPolicy,
    *,
    synthetic: bool,
) -> Guardrail:
    """Hold the rise of the pooled WER against the limit.

    Args:
        errors: edits and reference words of each sentence by the base, then by the tuned model.
        means: the mean of the rows' WER, base and tuned.
        policy: the limit and the bound.
        synthetic: whether the sentences are this tool's own.
    """
    n = len(errors) // 2
    base, tuned = errors[:n], errors[n:]
    columns = [[row[place] for row in side] for side in (base, tuned) for place in (0, 1)]
    before, after = (sum(edits) / max(sum(words), 1) for edits, words in (columns[:2], columns[2:]))
    sums = by_block(range(n), *columns)
    limit = policy.limit(before)
    # One-sided 95 % is the upper end of a two-sided 90 % interval.
    one_sided = rate_difference(sums, confidence=0.90)
    return Guardrail(
        n,
        before,
        after,
        *means,
        rate_difference(sums),
        limit,
        None if one_sided is None else one_sided.high,
        policy.largest_upper_end(limit),
        synthetic=synthetic,
    )
