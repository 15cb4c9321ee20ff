"""Which strength of boosting is judged: the rule of mixtures, for strengths in place of values.

A list at a strength is to the base what a mixture is: 0 is the base, and more of it finds more
terms and harms more. So the rule of tasks/decision/mixture_choice.py chooses, with its limit, its
curve and its rows: a strength over the strongest one is its value. A choosing row counts as missed
where its term was missed and where a false keyword was written, since a strength that writes every
term into every row would miss none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tasks.common.counted import counted
from tasks.decision import mixture_choice
from tasks.decision.choice_rule import ChoiceRule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.decision.mixture_choice import Candidate, Choice

STRONGEST = 2.0
"""The strongest that is tried: beyond it every list that was measured did harm."""
_DECIMALS = 2
RULE = ChoiceRule(coarse=(0.125, 0.25, 0.375, 0.5, 0.75, 1.0), refinements=2, stated=0.5)


def strength_of(value: float) -> float:
    """Return the strength that a value of the rule stands for."""
    return round(value * STRONGEST, _DECIMALS)


def value_of(strength: float) -> float:
    """Return the value of the rule that stands for a strength."""
    return round(strength / STRONGEST, 4)


COARSE = tuple(strength_of(value) for value in RULE.coarse)
"""The strengths that are tried first."""


@dataclass(frozen=True, slots=True)
class StrengthChoice:
    """The strength that is judged, and why.

    Attributes:
        strength: of the list.
        choice: of the rule, by values.
        reason: in a sentence.
    """

    strength: float
    choice: Choice
    reason: str

    @property
    def held(self) -> bool | None:
        """Whether a strength holds general English on the rows that choose; None if not looked."""
        return self.choice.held

    def as_dict(self) -> dict[str, object]:
        """Return the choice as boost.json holds it, by strengths."""
        candidates = cast("list[dict[str, Any]]", self.choice.as_dict()["candidates"])
        return {
            "strength": self.strength,
            "chosen": self.choice.chosen,
            "held": self.held,
            "reason": self.reason,
            "candidates": [
                {"strength": strength_of(one["value"]), **_without_value(one)} for one in candidates
            ],
        }


def _without_value(candidate: Mapping[str, object]) -> dict[str, object]:
    return {name: figure for name, figure in candidate.items() if name != "value"}


def stated_strength(rows: Mapping[str, int]) -> StrengthChoice:
    """Return the strength where too few rows could choose."""
    choice = mixture_choice.stated_choice(rows, RULE)
    strength = strength_of(choice.value)
    counts = ", ".join(f"{category} {number}" for category, number in sorted(rows.items()))
    return StrengthChoice(
        strength,
        choice,
        f"Nothing was chosen: {RULE.fewest_rows} selection rows of each priority category are "
        f"needed ({counts or 'there is none'}). The strength {strength:g} was stated beforehand.",
    )


def fixed_strength(strength: float) -> StrengthChoice:
    """Return the choice of a strength that was asked for."""
    choice = mixture_choice.fixed_choice(value_of(strength))
    return StrengthChoice(strength, choice, f"The strength {strength:g} was asked for.")


def choose_strength(candidates: Sequence[Candidate], limit: float) -> StrengthChoice:
    """Choose a strength by its figures on the choosing rows.

    Args:
        candidates: by value; the base (0) among them where general English is.
        limit: the guardrail's, as a share of words.
    """
    choice = mixture_choice.choose(candidates, limit, RULE)
    strength = strength_of(choice.value)
    chosen = next(one for one in choice.candidates if one.value == choice.value)
    if choice.held is False:
        reason = (
            "No strength holds general English on "
            f"{counted(len(chosen.general_words), 'choosing sentence')}; the weakest, "
            f"{strength:g}, is taken."
        )
    else:
        holds = "" if choice.held is None else ", of those that hold general English"
        reason = (
            f"Strength {strength:g}: the lowest KER on "
            f"{counted(len(chosen.misses), 'selection row')}, a row with a false keyword counted "
            f"as missed ({chosen.figure:.3f}){holds}."
        )
    return StrengthChoice(strength, choice, reason)


def refine(candidates: Sequence[Candidate], limit: float) -> list[float]:
    """Return the strengths to try next: between the best one and its neighbours."""
    return [strength_of(value) for value in mixture_choice.refine(candidates, limit, RULE)]
