"""The rule by which a mixture of base and tuned model is chosen: its numbers and its words.

Of the candidates that hold, the one with the lowest figure is taken, of equal ones the smallest
value. A candidate holds if the curve through all candidates' rises of general WER stays within
three quarters of the limit at its value, and if its own rise does not lie over the limit by more
than its standard error. The curve is there since a few hundred sentences tell one candidate's rise
to some 0.4 points only: ``rise = R * value ** 3``, whose R the larger values tell well. Where too
few rows can choose, a value that was stated beforehand is taken. docs/log/2026-11-28-mixtures.md
has the measurements behind the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class ChoiceRule:
    """The numbers of the rule.

    Attributes:
        coarse: the values that are tried first; 1 is the tuned model itself.
        refinements: how often the two neighbours of the chosen value are tried too.
        exponent: of the curve through the rises of general WER.
        share_of_limit: how much of the guardrail's limit the curve may use.
        standard_errors: how far from the lowest figure a candidate may be, so that a smaller value
            is taken.
        fewest_rows: with fewer rows nothing is chosen.
        stated: the value that is taken then.
    """

    coarse: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    refinements: int = 2
    exponent: float = 3.0
    share_of_limit: float = 0.75
    standard_errors: float = 0.0
    fewest_rows: int = 20
    stated: float = 0.5

    def __post_init__(self) -> None:
        if not self.coarse or not all(0 < value <= 1 for value in (*self.coarse, self.stated)):
            raise ValueError("a candidate's value lies above 0 and at most at 1")
        if list(self.coarse) != sorted(set(self.coarse)):
            raise ValueError("the coarse grid ascends, each value once")

    def __str__(self) -> str:
        coarse = ", ".join(f"{value:g}" for value in self.coarse)
        best = "the lowest KER, and of equal ones the smallest value"
        if self.standard_errors:
            best = f"the smallest within {self.standard_errors:g} standard errors of the lowest KER"
        return (
            f"of the values {coarse}, refined {self.refinements} times, those hold whose rise of "
            f"general WER, by a curve of value to the power {self.exponent:g} through all, is at "
            f"most {self.share_of_limit:g} of the limit, and whose own rise is at most its "
            f"standard error over the limit; of these {best} is taken. With fewer than "
            f"{self.fewest_rows} rows it is {self.stated:g}."
        )


RULE = ChoiceRule()
_DISTILLED_RULE = replace(RULE, stated=0.9)
"""Its tuned models have lost a tenth as much English, and an even mixture gave most terms back."""


def rule_of(distillation: float) -> ChoiceRule:
    """Return the rule for the models of a recipe, which stands before the training.

    Args:
        distillation: the weight with which the base's own outputs are taught; 0: none.
    """
    return _DISTILLED_RULE if distillation else RULE
