"""The sentences of a decision that give its figures and what it hangs on.

The grounds of a verdict are in tasks/decision/verdict_rules.py, each beside its rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.decision.decision_table import Verdict, describe
from tasks.decision.significance import CategoryResult
from tasks.decision.verdict_rules import PLAIN_DECODE, SPELLING_BLIND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.decision.decision_table import DecisionPolicy, Movement, TableReading
    from tasks.evaluation.keyword_change import KeywordErrorChange


def describe_spelling(
    letter: KeywordErrorChange, canonical: KeywordErrorChange, counts: tuple[float, float]
) -> str:
    """Describe a category's canonical KER beside its KER."""
    return (
        f"{letter.category}: KER {letter.before.rate:.3f} → {letter.after.rate:.3f}, canonical KER "
        f"{canonical.before.rate:.3f} → {canonical.after.rate:.3f}; missed by spelling only: "
        f"{counts[0]:g} → {counts[1]:g} of {letter.before.unit}."
    )


def decode_decides(
    verdict: Verdict,
    views: Mapping[str, Verdict],
    judged: Mapping[str, KeywordErrorChange],
    plain: Mapping[str, KeywordErrorChange],
) -> list[str]:
    """Return a sentence where the verdict hangs on which unheard variant is decoded; else none."""
    of_one = views.get(PLAIN_DECODE, verdict)
    if of_one is verdict:
        return []
    told = "; ".join(
        f"{name} KER {delta.before.rate:.3f} → {delta.after.rate:.3f} by one decode, "
        f"{judged[name].before.rate:.3f} → {judged[name].after.rate:.3f} by all"
        for name, delta in plain.items()
    )
    reason = (
        "One decode is one draw here: by the recordings as they are alone it would be "
        f"{of_one.value}, not {verdict.value} ({told})."
    )
    return [reason]


def spelling_decides(
    verdict: Verdict, views: Mapping[str, Verdict], spelling_lines: Sequence[str]
) -> list[str]:
    """Return a sentence where the verdict hangs on how a term is spelled; else none."""
    blind = views.get(SPELLING_BLIND, verdict)
    if blind is verdict:
        return []
    reason = (
        "Spelling decides here: with every spelling of a term counted as found it would be "
        f"{blind.value}, not {verdict.value}."
    )
    return [" ".join((reason, *spelling_lines))]


def describe_change(
    delta: KeywordErrorChange,
    row: Movement,
    finding: CategoryResult,
    policy: DecisionPolicy,
    plain: KeywordErrorChange | None,
) -> str:
    """Describe a category's change: KER, counts, p-values, interval, and what is shown.

    Args:
        delta: the judged change.
        row: of the specification's table.
        finding: what is shown.
        policy: the numbers of the decision.
        plain: the change by one decode a row, where rows were decoded several times; else None.
    """
    interval = delta.interval
    between = (
        "" if interval is None else f", 95 % interval {interval.low:+.3f} to {interval.high:+.3f}"
    )
    by_chance = f"mid-p {delta.p_rows:.3g}"
    if delta.p_terms is not None and len(delta.nets) >= policy.fewest_terms:
        by_chance += f", over terms {delta.p_terms:.3g}"
    by_one = ""
    if delta.shares is not None:
        by_chance = f"sign-flip {by_chance}" + (" over terms" if delta.shares.over_terms else "")
    if delta.shares is not None and plain is not None:
        by_one = (
            f" The mean over {delta.shares.decodes} unheard variants of each recording; one decode "
            f"gives {plain.before.rate:.3f} → {plain.after.rate:.3f}."
        )
    return f"{describe(delta, row)[:-2]}; {by_chance}{between}): {finding.value}.{by_one}"


_TABLE_CAVEATS = {
    Verdict.KEEP: "counts a rise that chance explains as harm",
    Verdict.DISCARD: "looks at the two shares alone, not at what else is shown here",
    Verdict.GROW: "does not ask what the rows exclude",
    Verdict.INCONCLUSIVE: "does not ask whether chance explains the difference",
}


def table_differs(
    bare: TableReading, verdict: Verdict, findings: Mapping[str, CategoryResult]
) -> list[str]:
    """Return a sentence where the specification's table says otherwise, with why; else none."""
    if bare.verdict is verdict:
        return []
    caveat = _TABLE_CAVEATS[verdict]
    if verdict is Verdict.INCONCLUSIVE and CategoryResult.IMPROVED in findings.values():
        caveat = "does not look at general English"
    return [f"The specification's table says {bare.verdict.value} on the same rows: it {caveat}."]
