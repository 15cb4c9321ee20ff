"""What the gate says of boosting, beside its own answer: whether phrases alone may reach it.

It reads boost.json (tasks/stages/boost.py), whose figures are of rows that did not choose the
strength. It never replaces the specification's answer; both are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tasks.common import neighbour_stages
from tasks.decision.guardrail import GuardrailStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JUDGED = "judged list"
"""The key of the list that the verdict is on."""


class BoostingOutcome(StrEnum):
    """Whether boosting alone brings KER under the gate's threshold."""

    ENOUGH = "boosting-is-enough"
    MAY_BE_ENOUGH = "boosting-may-be-enough"
    NOT_ENOUGH = "boosting-is-not-enough"


@dataclass(frozen=True, slots=True)
class BoostingAnswer:
    """The gate's answer on boosting.

    Attributes:
        outcome: whether it is enough.
        route: the stage that boosts; "" where boosting is not enough.
        message: the figures, in a sentence.
    """

    outcome: BoostingOutcome
    route: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """Return the answer as ``asr-flywheel gate --json`` prints it."""
        return {"outcome": self.outcome.value, "route": self.route, "message": self.message}


def answer_on_boosting(
    result: Mapping[str, Any], base: str, priority: Sequence[str], threshold: float
) -> BoostingAnswer | None:
    """Answer whether boosting alone is enough; None where it was measured on something else.

    Args:
        result: the content of boost.json.
        base: the base that the gate is asked about.
        priority: the categories that decide.
        threshold: the KER above which the gate tunes.
    """
    boosted = result["boosted"][JUDGED]
    ker = boosted["ker"]
    if result["base"] != base or any(category not in ker for category in priority):
        return None
    figures = [ker[category] for category in priority]
    if any(figure["rate"] is None or figure["ci"] is None for figure in figures):
        return None
    general = boosted["general"]
    held = general is not None and general["status"] == GuardrailStatus.HELD.value
    under = all(figure["rate"] <= threshold for figure in figures)
    surely = all(figure["ci"][1] <= threshold for figure in figures)
    outcome = BoostingOutcome.NOT_ENOUGH
    if under:
        outcome = BoostingOutcome.ENOUGH if surely and held else BoostingOutcome.MAY_BE_ENOUGH
    told = ", ".join(
        f"{category} {figure['rate']:.3f} ({figure['ci'][0]:.3f} to {figure['ci'][1]:.3f})"
        for category, figure in zip(priority, figures, strict=True)
    )
    status = "was not checked" if general is None else f"is {general['status']}"
    conclusion = {
        BoostingOutcome.ENOUGH: f"It is enough without training: {neighbour_stages.GENERIC}.",
        BoostingOutcome.MAY_BE_ENOUGH: "It may be enough without training: "
        f"{neighbour_stages.GENERIC}; more rows or sentences would tell.",
        BoostingOutcome.NOT_ENOUGH: "It is not enough.",
    }[outcome]
    route = "" if outcome is BoostingOutcome.NOT_ENOUGH else neighbour_stages.GENERIC
    message = (
        f"Boosting ({result['list']}, strength {result['strength']:g}) leaves KER {told} on rows "
        f"that did not choose, against {threshold:g}; general English {status}. "
        f"{conclusion}"
    )
    return BoostingAnswer(outcome, route, message)
