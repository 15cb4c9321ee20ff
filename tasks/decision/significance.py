"""Classify one category's change, and compute how many rows would show it.

A drop, or a rise, is shown if chance explains it in fewer than one of twenty such comparisons, over
rows and, where enough terms changed, over terms: a model that learns one term and forgets another
flips all their rows together. That no wanted drop is there is shown by the interval.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.decision.decision_table import POLICY, DecisionPolicy, Movement, movement
from tasks.evaluation import study_size

if TYPE_CHECKING:
    from tasks.evaluation.keyword_change import KeywordErrorChange


class CategoryResult(StrEnum):
    """The result of one category."""

    IMPROVED = "shown to drop meaningfully"
    MOVED = "shown to drop, but less than wanted"
    SMALLER = "shown that no wanted drop is there"
    NOTHING = "nothing was missed before or after"
    WORSE = "shown to be worse"
    UNSETTLED = "not settled"


def shown_over_terms(delta: KeywordErrorChange, policy: DecisionPolicy = POLICY) -> bool:
    """Return whether a change is significant over terms too, or too few of them changed to test."""
    p = delta.p_terms
    return p is None or len(delta.nets) < policy.fewest_terms or p < policy.alpha


def p_of_harm(delta: KeywordErrorChange, policy: DecisionPolicy = POLICY) -> float:
    """Return the larger of the p-values over rows and over terms, where enough terms changed."""
    p = 1.0 if delta.p is None else delta.p
    if delta.p_terms is not None and len(delta.nets) >= policy.fewest_terms:
        return max(p, delta.p_terms)
    return p


def shown_to_rise(
    delta: KeywordErrorChange, p_harm: float | None = None, policy: DecisionPolicy = POLICY
) -> bool:
    """Return whether a category is shown to be worse.

    Args:
        delta: what was found.
        p_harm: its ``p_of_harm``, corrected for the number of categories; None for one alone.
        policy: alpha, and how many terms a test over terms needs.
    """
    p = p_of_harm(delta, policy) if p_harm is None else p_harm
    return delta.rose and p < policy.alpha


def shown_to_fall(
    delta: KeywordErrorChange, p_adjusted: float, policy: DecisionPolicy = POLICY
) -> bool:
    """Return whether a category is shown to be better, by however little."""
    gained = delta.fell and p_adjusted < policy.alpha
    return gained and shown_over_terms(delta, policy)


def classify_change(
    delta: KeywordErrorChange,
    p_adjusted: float,
    policy: DecisionPolicy = POLICY,
    p_harm: float | None = None,
) -> CategoryResult:
    """Classify a category's change.

    Args:
        delta: what was found.
        p_adjusted: its p-value, corrected for the number of categories; it counts for a drop.
        policy: alpha and the wanted drop.
        p_harm: its ``p_of_harm``, corrected likewise; None for one category alone.
    """
    if delta.p is None:
        return CategoryResult.UNSETTLED
    if shown_to_rise(delta, p_harm, policy):
        return CategoryResult.WORSE
    if not delta.before.hits and not delta.after.hits:
        return CategoryResult.NOTHING
    if shown_to_fall(delta, p_adjusted, policy):
        dropped = movement(delta, policy) is Movement.DROPPED
        return CategoryResult.IMPROVED if dropped else CategoryResult.MOVED
    wanted = policy.meaningful_drop * (delta.before.rate or 0.0)
    interval = delta.interval
    if delta.before.hits and interval is not None and interval.low > -wanted:
        return CategoryResult.SMALLER
    return CategoryResult.UNSETTLED


def gained_by_false_keywords(
    found: CategoryResult,
    rise: KeywordErrorChange,
    as_misses: KeywordErrorChange,
    policy: DecisionPolicy = POLICY,
    p_rise: float | None = None,
) -> bool:
    """Return whether false keywords are shown to rise, and the gain is gone without their rows.

    Args:
        found: what is shown about the category.
        rise: rows of the category that hold a false keyword, before and after.
        as_misses: its KER where such a row counts as missed.
        policy: alpha and the wanted drop.
        p_rise: the rise's ``p_of_harm``, corrected for the number of categories; None for one.
    """
    if as_misses.p is None or not shown_to_rise(rise, p_rise, policy):
        return False
    without = classify_change(as_misses, as_misses.p, policy)
    gained = found in {CategoryResult.IMPROVED, CategoryResult.MOVED}
    return without is CategoryResult.WORSE or (gained and without is not CategoryResult.IMPROVED)


def rows_needed(
    delta: KeywordErrorChange, categories: int, policy: DecisionPolicy = POLICY
) -> int | None:
    """Return the rows that would settle a category at the rates seen so far.

    Either way of settling counts: that a difference is shown, or that no wanted drop is left in the
    interval; the cheaper one is named. Half a row is added to either count, since what was not seen
    on few rows is not impossible.

    Args:
        delta: what was found.
        categories: how many are tested together.
        policy: alpha, power and the wanted drop.

    Returns:
        Rows, those that are there included, with as many terms each as these; None where no study
        of any size could settle it.
    """
    # Terms of one row change together: so many independent ones are as good as these.
    inflation = delta.inflation
    n = delta.n if inflation == 1 else delta.n / inflation
    changed = (delta.fixed, delta.broken) if delta.shares is None else delta.shares.moments
    fixed = (changed[0] / inflation + 0.5) / (n + 1)
    broken = (changed[1] / inflation + 0.5) / (n + 1)
    meaningful_drop = policy.meaningful_drop * (delta.before.rate or 0.0)
    alpha = policy.alpha / categories
    if delta.shares is not None:
        rows_to_show = study_size.rows_to_show_clustered(
            delta.shares.tested, n, alpha, policy.power
        )
    else:
        rows_to_show = study_size.rows_to_show(fixed, broken, alpha, policy.power)
    if rows_to_show is not None and len(delta.nets) >= policy.fewest_terms:
        over_terms = study_size.rows_to_show_clustered(delta.nets, n, policy.alpha, policy.power)
        rows_to_show = None if over_terms is None else max(rows_to_show, over_terms)
    candidates = [
        rows_to_show,
        study_size.rows_to_exclude(fixed, broken, meaningful_drop, policy.power),
    ]
    finite = [rows for rows in candidates if rows is not None]
    if not finite:
        return None
    rows = min(finite)
    if delta.rows < delta.n:
        rows = math.ceil(rows * delta.rows / n)
    return max(delta.rows + 1, rows)
