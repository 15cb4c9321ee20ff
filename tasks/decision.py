"""Keep the model, grow the manifest, or discard (specification, 4e, decision table).

The table speaks of KER on the targeted categories. Each priority category is put into one of its
four rows; the decision then follows from all of them. It rests on held-out rows wherever it is
known which rows those are; the same table read over all rows, as the specification's own headline
does, stands beside it and counts rows that were trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks import routing
from tasks.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.diff import Delta

MEANINGFUL_DROP = 0.20
"""Relative: "drug KER -20 % or more" (specification, 4e)."""
MEASURABLE_CHANGE = 0.05
"""Relative: a drop under 5 % is a floor, not progress (contracts, Routing, Stopping)."""
# A share such as 4/5 - 1 misses 0.20 by rounding; no real difference of counts is this small.
_ROUNDING = 1e-9


class Verdict(StrEnum):
    """What becomes of the tuned model."""

    KEEP = "keep"
    GROW = "grow"
    DISCARD = "discard"


class Movement(StrEnum):
    """The rows of the specification's table."""

    DROPPED = "dropped meaningfully"
    LITTLE = "moved a little"
    WORSE = "got worse"
    UNCHANGED = "no measurable change"


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict with its grounds.

    Attributes:
        verdict: keep, grow or discard.
        movements: the table's row for each priority category.
        reasons: sentences that give the figures.
        route: the stage that takes the next step.
        basis: which rows it rests on, in words.
    """

    verdict: Verdict
    movements: Mapping[str, Movement]
    reasons: tuple[str, ...]
    route: str
    basis: str

    def as_dict(self) -> dict[str, object]:
        """The decision as decision.json holds it."""
        return {
            "decision": self.verdict.value,
            "movements": {category: row.value for category, row in self.movements.items()},
            "reasons": list(self.reasons),
            "route": self.route,
            "basis": self.basis,
        }


def movement(delta: Delta) -> Movement:
    """The table's row for one category."""
    if delta.relative is None:
        return Movement.WORSE if delta.after.hits else Movement.UNCHANGED
    if delta.relative <= -MEANINGFUL_DROP + _ROUNDING:
        return Movement.DROPPED
    if delta.relative <= -MEASURABLE_CHANGE + _ROUNDING:
        return Movement.LITTLE
    if delta.relative < MEASURABLE_CHANGE - _ROUNDING:
        return Movement.UNCHANGED
    return Movement.WORSE


def decide(found: Mapping[str, Delta], priority: Sequence[str], basis: str) -> Decision:
    """Apply the table to the priority categories.

    Args:
        found: the differences by category.
        priority: the categories that were targeted.
        basis: which rows the differences rest on, in words.

    Raises:
        InputError: a priority category has no row with a term.
    """
    for category in priority:
        if category not in found or not found[category].n:
            raise InputError(
                f"no {basis} row of category {category!r} has a term: there is nothing to decide "
                "on. Fix: name another category with --priority, or grow the manifest."
            )
    movements = {category: movement(found[category]) for category in priority}
    seen = set(movements.values())
    reasons = [_describe(found[category], movements[category]) for category in priority]
    if Movement.WORSE in seen and Movement.DROPPED in seen:
        verdict = Verdict.GROW
        reasons.append("One priority category dropped while another got worse: grow the manifest.")
    elif Movement.WORSE in seen:
        verdict = Verdict.DISCARD
        reasons.append(
            "Overfit on a small manifest: grow it before retraining; do not tune harder."
        )
    elif Movement.DROPPED in seen:
        verdict = Verdict.KEEP
        reasons.append(f"Keep the .nemo; to deploy it, hand it to {routing.SERVING}.")
    elif Movement.LITTLE in seen:
        verdict = Verdict.GROW
        reasons.append("Expand the manifest: signal density beats learning-rate sweeps.")
    else:
        verdict = Verdict.GROW
        reasons.append(
            "Some categories may already be in the base's vocabulary: check the figures by "
            "category, then grow the manifest."
        )
    route = routing.SERVING if verdict is Verdict.KEEP else routing.BUILD
    return Decision(verdict, movements, tuple(reasons), route, basis)


def _describe(delta: Delta, row: Movement) -> str:
    relative = "" if delta.relative is None else f", {delta.relative:+.0%} relative"
    return (
        f"{delta.category} KER {row.value}: {delta.before.rate:.3f} → {delta.after.rate:.3f} "
        f"({delta.before.hits} → {delta.after.hits} of {delta.n} rows missed{relative}; "
        f"{delta.fixed} fixed, {delta.broken} broken)."
    )
