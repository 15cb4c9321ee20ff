"""Which mixture of base and tuned model is shipped: the rule, fixed before any held-out row.

A candidate's weights go a part of the way from the base (value 0) to the tuned model (value 1; see
tasks/entrypoints/mix_weights.py). It is judged here on the priority categories' rows of
selection.jsonl, and the choosing share of general English. A row's figure is the share of its
unheard variants in which its term was missed, so that the choice does not hang on one decode.
The rule is that of tasks/decision/choice_rule.py.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.decision.choice_rule import RULE, ChoiceRule
from tasks.evaluation import statistics
from tasks.evaluation.block_bootstrap import by_block, rate_difference, rate_interval

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

# Values are compared after this many decimals: 0.1 + 0.2 is 0.3.
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mixture's figures on the rows that choose.

    Attributes:
        value: how far the weights go from the base (0) to the tuned model (1).
        misses: of each term of each choosing row the share of its variants in which it was missed.
        terms: the same terms; rows of one term hang together.
        general_edits: word edits of each sentence of the choosing share, in the set's order.
        general_words: reference words of each sentence.
        rows: the row of each of the terms; empty where each row has one.
    """

    value: float
    misses: tuple[float, ...]
    terms: tuple[str, ...]
    general_edits: tuple[int, ...] = ()
    general_words: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise ValueError(f"a mixture's value lies between 0 and 1, not {self.value}")
        if len(self.misses) != len(self.terms):
            raise ValueError("each choosing row needs its term")
        if len(self.general_edits) != len(self.general_words):
            raise ValueError("each general sentence needs its number of words")

    @property
    def figure(self) -> float | None:
        """The mean share of missed variants: KER, averaged over variants; None without rows."""
        return sum(self.misses) / len(self.misses) if self.misses else None

    @property
    def standard_error(self) -> float:
        """The standard error of the figure; rows of one term count as one block.

        Where rows have several terms, the larger of that and of rows as blocks.
        """
        if not self.misses:
            return 0.0
        by_term = self._standard_error(self.terms)
        return max(by_term, self._standard_error(self.rows)) if self.rows else by_term

    def _standard_error(self, blocks_of: Sequence[Hashable]) -> float:
        mean = sum(self.misses) / len(self.misses)
        deviations: defaultdict[Hashable, float] = defaultdict(float)
        for miss, block in zip(self.misses, blocks_of, strict=True):
            deviations[block] += miss - mean
        blocks = len(deviations)
        if blocks < 2:  # noqa: PLR2004 - one block has no spread
            return 0.0
        squares = sum(deviation**2 for deviation in deviations.values())
        return math.sqrt(squares * blocks / (blocks - 1)) / len(self.misses)

    @property
    def general_wer(self) -> float | None:
        """Pooled WER of the choosing share of general English; None without one."""
        words = sum(self.general_words)
        return sum(self.general_edits) / words if words else None


@dataclass(frozen=True, slots=True)
class Choice:
    """The value that is shipped, and why.

    Attributes:
        value: how far the weights go from the base (0) to the tuned model (1).
        chosen: whether rows chose it; else it was stated beforehand or asked for.
        held: whether a candidate holds general English; None where that was not
            looked at.
        reason: the ground, in a sentence.
        candidates: every candidate that was decoded, the base among them, by value.
        rule: the numbers that were used.
        allowed_rise: how far general WER could rise by the curve, as a share of words; None where
            that was not looked at.
        holding: the values that hold; None where that was not looked at.
    """

    value: float
    chosen: bool
    held: bool | None
    reason: str
    candidates: tuple[Candidate, ...] = ()
    rule: ChoiceRule = RULE
    allowed_rise: float | None = None
    holding: tuple[float, ...] | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the choice as training_run_info.json and decision.json hold it."""
        base = next((c for c in self.candidates if c.value == 0), None)
        curve: dict[float, float] = {}
        if base is not None and self.holding is not None:
            curve = rise_curve(base, [c for c in self.candidates if c.value > 0], self.rule)
        return {
            "value": self.value,
            "chosen": self.chosen,
            "held": self.held,
            "reason": self.reason,
            "allowed_rise": self.allowed_rise,
            "rule": {
                "text": str(self.rule),
                "coarse": list(self.rule.coarse),
                "refinements": self.rule.refinements,
                "exponent": self.rule.exponent,
                "share_of_limit": self.rule.share_of_limit,
                "standard_errors": self.rule.standard_errors,
                "fewest_rows": self.rule.fewest_rows,
                "stated": self.rule.stated,
            },
            "candidates": [
                {
                    **_figures(candidate, base),
                    "general_rise_by_curve": curve.get(candidate.value),
                    "holds": candidate.value in self.holding
                    if self.holding is not None and candidate.value > 0
                    else None,
                }
                for candidate in self.candidates
            ],
        }


def _figures(candidate: Candidate, base: Candidate | None) -> dict[str, object]:
    """Return a candidate's figures with their 95 % intervals; a figure without rows is null."""
    wer, base_wer = candidate.general_wer, None if base is None else base.general_wer
    interval, rise, rise_interval, rise_error = None, None, None, None
    if candidate.misses:
        rows = [1] * len(candidate.misses)
        by_term = by_block(candidate.terms, candidate.misses, rows)
        interval = rate_interval(by_term)
    if base is not None and wer is not None and base_wer is not None:
        rise = wer - base_wer
    if base is not None and rise is not None and candidate is not base:
        sentences = by_block(
            range(len(candidate.general_words)),
            base.general_edits,
            base.general_words,
            candidate.general_edits,
            candidate.general_words,
        )
        rise_interval = rate_difference(sentences)
        rise_error = own_rise(base, candidate)[1]
    return {
        "value": candidate.value,
        "rows": len(set(candidate.rows)) if candidate.rows else len(candidate.misses),
        **({"terms": len(candidate.misses)} if candidate.rows else {}),
        "ker": candidate.figure,
        "ker_standard_error": candidate.standard_error,
        "ker_ci": statistics.ends(interval),
        "general_sentences": len(candidate.general_words),
        "general_wer": wer,
        "general_rise": rise,
        "general_rise_ci": statistics.ends(rise_interval),
        "general_rise_standard_error": rise_error,
    }


def enough_rows(rows: Mapping[str, int], priority: Sequence[str], rule: ChoiceRule = RULE) -> bool:
    """Return whether each priority category has rows enough to choose by.

    Args:
        rows: selection rows with a term, by category.
        priority: the categories that the decision looks at.
        rule: the numbers.
    """
    return all(rows.get(category, 0) >= rule.fewest_rows for category in priority)


def stated_choice(rows: Mapping[str, int], rule: ChoiceRule = RULE) -> Choice:
    """Return the choice where too few rows could choose."""
    counts = ", ".join(f"{category} {number}" for category, number in sorted(rows.items()))
    return Choice(
        rule.stated,
        chosen=False,
        held=None,
        reason=(
            f"Nothing was chosen: {rule.fewest_rows} selection rows of each priority category are "
            f"needed ({counts or 'there is none'}). The value {rule.stated:g} was stated "
            "beforehand."
        ),
        rule=rule,
    )


def fixed_choice(value: float) -> Choice:
    """Return the choice of a value that was asked for; 1 is the tuned model, unmixed."""
    reason = f"The value {value:g} was asked for."
    if value == 1:
        reason = "The tuned model is shipped as it is: no mixture was asked for."
    return Choice(value, chosen=False, held=None, reason=reason)


def refine(candidates: Sequence[Candidate], limit: float, rule: ChoiceRule = RULE) -> list[float]:
    """Return the values to decode next: the two neighbours of the best one so far.

    Args:
        candidates: what was decoded, the base among them.
        limit: the guardrail's, as a share.
        rule: the numbers.

    Returns:
        At most two values between the chosen one and those that were tried beside it.
    """
    tried = sorted({round(candidate.value, _DECIMALS) for candidate in candidates})
    best = round(choose(candidates, limit, rule).value, _DECIMALS)
    place = tried.index(best)
    between = [
        round((tried[left] + tried[left + 1]) / 2, _DECIMALS)
        for left in (place - 1, place)
        if 0 <= left < len(tried) - 1
    ]
    return [value for value in between if value not in tried]


def choose(candidates: Sequence[Candidate], limit: float, rule: ChoiceRule = RULE) -> Choice:
    """Choose a mixture by its figures on the choosing rows.

    Args:
        candidates: what was decoded; the base (value 0) among them where general English is.
        limit: the guardrail's, as a share of words.
        rule: the numbers.

    Raises:
        ValueError: there is no candidate besides the base, or none has a choosing row.
    """
    by_value = tuple(sorted(candidates, key=lambda candidate: candidate.value))
    mixtures = [candidate for candidate in by_value if candidate.value > 0]
    if not mixtures or any(candidate.figure is None for candidate in mixtures):
        raise ValueError("a choice needs a candidate, and each a row to choose by")
    base = next((c for c in by_value if c.value == 0 and c.general_wer is not None), None)
    curve: dict[float, float] = {}
    allowed = mixtures
    most = rule.share_of_limit * limit
    if base is not None:
        curve = rise_curve(base, mixtures, rule)
        allowed = [
            c for c in mixtures if curve[c.value] <= most + 1e-12 and may_hold(base, c, limit)
        ]
    held = bool(allowed) if curve else None
    if not allowed:
        least = mixtures[0]
        reason = (
            f"No mixture holds: by {counted(len(least.general_words), 'choosing sentence')} "
            f"general WER rises {100 * curve[least.value]:+.2f} points at the smallest value, "
            f"{least.value:g}, and {100 * most:+.2f} are allowed. That value is taken."
        )
        return Choice(least.value, True, held, reason, by_value, rule, most, ())
    lowest = min(allowed, key=lambda c: (c.figure or 0.0, c.value))
    bar = (lowest.figure or 0.0) + rule.standard_errors * lowest.standard_error + 1e-12
    chosen = min(
        (c for c in allowed if (c.figure or 0.0) <= bar), key=lambda candidate: candidate.value
    )
    reason = (
        f"Value {chosen.value:g}: the lowest KER on "
        f"{counted(len(chosen.misses), 'selection row')}, averaged over unheard variants "
        f"({chosen.figure:.3f})"
    )
    if curve:
        reason += (
            f", of the mixtures that hold general English ({100 * curve[chosen.value]:+.2f} "
            f"points by the curve through {counted(len(mixtures), 'mixture')}, "
            f"{len(chosen.general_words)} choosing sentences; {100 * most:+.2f} are allowed)"
        )
        reason += "" if base is None else _over_the_limit(base, chosen, limit)
    if not curve:
        return Choice(chosen.value, True, held, f"{reason}.", by_value, rule)
    holding = tuple(candidate.value for candidate in allowed)
    return Choice(chosen.value, True, held, f"{reason}.", by_value, rule, most, holding)


def _over_the_limit(base: Candidate, chosen: Candidate, limit: float) -> str:
    """Say that a mixture's own rise lies over the limit though it holds; "" where it does not."""
    rise, standard_error = own_rise(base, chosen)
    if rise <= limit + 1e-12:
        return ""
    return (
        f". Its own rise on them is {100 * rise:+.2f} points, over the limit of "
        f"{100 * limit:+.2f} by less than its standard error of {100 * standard_error:.2f}"
    )


def rise_curve(
    base: Candidate, mixtures: Sequence[Candidate], rule: ChoiceRule = RULE
) -> dict[float, float]:
    """Return the rise of general WER at each value by the curve through all of them.

    Args:
        base: the candidate of value 0.
        mixtures: the others, decoded on the same sentences.
        rule: has the curve's exponent.

    Returns:
        By value, as a share of words; least squares, and never below 0.
    """
    powers = [candidate.value**rule.exponent for candidate in mixtures]
    rises = [(c.general_wer or 0.0) - (base.general_wer or 0.0) for c in mixtures]
    scale = sum(rise * power for rise, power in zip(rises, powers, strict=True))
    scale = max(0.0, scale / sum(power**2 for power in powers))
    return {c.value: scale * power for c, power in zip(mixtures, powers, strict=True)}


def may_hold(base: Candidate, mixture: Candidate, limit: float) -> bool:
    """Return whether a mixture's own rise is at most its standard error over the limit."""
    rise, standard_error = own_rise(base, mixture)
    return rise - standard_error <= limit + 1e-12


def own_rise(base: Candidate, mixture: Candidate) -> tuple[float, float]:
    """Return a mixture's own rise of general WER, as a share of words, and its standard error."""
    words = sum(mixture.general_words)
    changes = [
        after - before
        for after, before in zip(mixture.general_edits, base.general_edits, strict=True)
    ]
    rise = sum(changes) / words
    deviations = [
        change - rise * count for change, count in zip(changes, mixture.general_words, strict=True)
    ]
    return rise, math.sqrt(sum(deviation**2 for deviation in deviations)) / words
