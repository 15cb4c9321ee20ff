"""The specification's decision table, read literally (4e), and the numbers of every decision.

The table looks at KER on the targeted categories: two shares, and nothing about chance. Its verdict
stands beside ours (tasks/decision/verdict.py) in every record, as the bare one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.common import neighbour_stages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.evaluation.keyword_change import KeywordErrorChange

# A share such as 4/5 - 1 misses 0.20 by rounding; no real difference of counts is this small.
_ROUNDING = 1e-9


class Verdict(StrEnum):
    """The verdict on the tuned model. The bare table knows no ``INCONCLUSIVE``."""

    KEEP = "keep"
    GROW = "grow"
    DISCARD = "discard"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class DecisionPolicy:
    """The numbers of a decision.

    Attributes:
        meaningful_drop: relative: "drug KER -20 % or more" (specification, 4e).
        measurable_change: relative: a drop under 5 % is a floor, not progress (contracts, Routing,
            Stopping).
        alpha: a difference is shown if its mid-p value is under this.
        fewest_terms: if the rows of this many terms changed, a gain must also be shown over terms,
            whose rows may change together; fewer terms cannot show anything.
        power: with this chance the number of rows that is asked for settles the matter.
    """

    meaningful_drop: float = 0.20
    measurable_change: float = 0.05
    alpha: float = 0.05
    fewest_terms: int = 5
    power: float = 0.80

    def __post_init__(self) -> None:
        if not 0 < self.measurable_change < self.meaningful_drop < 1:
            raise ValueError("0 < measurable_change < meaningful_drop < 1 must hold")
        if not (0 < self.alpha < 1 and 0 < self.power < 1):
            raise ValueError("alpha and power lie between 0 and 1")


POLICY = DecisionPolicy()


class Movement(StrEnum):
    """The rows of the specification's table."""

    DROPPED = "dropped meaningfully"
    LITTLE = "moved a little"
    WORSE = "got worse"
    UNCHANGED = "no measurable change"


@dataclass(frozen=True, slots=True)
class TableReading:
    """The bare verdict.

    Attributes:
        verdict: keep, grow or discard.
        movements: the table's row for each priority category.
        action: what the table says to do, in a sentence.
        basis: which rows it rests on, in words.
    """

    verdict: Verdict
    movements: Mapping[str, Movement]
    action: str
    basis: str

    def as_dict(self) -> dict[str, object]:
        """Return the reading as decision.json holds it."""
        return {
            "decision": self.verdict.value,
            "movements": {category: row.value for category, row in self.movements.items()},
            "action": self.action,
            "basis": self.basis,
        }


def movement(delta: KeywordErrorChange, policy: DecisionPolicy = POLICY) -> Movement:
    """Return the table's row for one category."""
    if delta.relative is None:
        return Movement.WORSE if delta.after.hits else Movement.UNCHANGED
    if delta.relative <= -policy.meaningful_drop + _ROUNDING:
        return Movement.DROPPED
    if delta.relative <= -policy.measurable_change + _ROUNDING:
        return Movement.LITTLE
    if delta.relative < policy.measurable_change - _ROUNDING:
        return Movement.UNCHANGED
    return Movement.WORSE


def read_table(
    changes: Mapping[str, KeywordErrorChange],
    priority: Sequence[str],
    basis: str,
    policy: DecisionPolicy = POLICY,
) -> TableReading:
    """Apply the table to the priority categories, each of which must have rows with a term."""
    movements = {category: movement(changes[category], policy) for category in priority}
    movement_kinds = set(movements.values())
    if Movement.WORSE in movement_kinds and Movement.DROPPED in movement_kinds:
        verdict = Verdict.GROW
        action = "One priority category dropped while another got worse: grow the manifest."
    elif Movement.WORSE in movement_kinds:
        verdict = Verdict.DISCARD
        action = "Overfit on a small manifest: grow it before retraining; do not tune harder."
    elif Movement.DROPPED in movement_kinds:
        verdict = Verdict.KEEP
        action = f"Keep the .nemo; to deploy it, hand it to {neighbour_stages.SERVING}."
    elif Movement.LITTLE in movement_kinds:
        verdict = Verdict.GROW
        action = "Expand the manifest: signal density beats learning-rate sweeps."
    else:
        verdict = Verdict.GROW
        action = (
            "Some categories may already be in the base's vocabulary: check the figures by "
            "category, then grow the manifest."
        )
    return TableReading(verdict, movements, action, basis)


def describe(delta: KeywordErrorChange, row: Movement) -> str:
    """Describe a category's figures in a sentence."""
    relative = "" if delta.relative is None else f", {delta.relative:+.0%} relative"
    return (
        f"{delta.category} KER {row.value}: {delta.before.rate:.3f} → {delta.after.rate:.3f} "
        f"({delta.before.hits:g} → {delta.after.hits:g} of {delta.before.unit} missed{relative}; "
        f"{delta.fixed} fixed, {delta.broken} broken)."
    )
