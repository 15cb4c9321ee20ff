"""Decide on a tuned model: the verdict with its reasons, and what other views would have decided.

The rules are in tasks/decision/verdict_rules.py; docs/verdict.md has them with their sources.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.common import neighbour_stages
from tasks.decision.decision_table import POLICY, DecisionPolicy, Verdict, movement, read_table
from tasks.decision.verdict_rules import (
    PLAIN_DECODE,
    SPELLING_BLIND,
    DecisionEvidence,
    DecisionRules,
    require_rows,
)
from tasks.decision.verdict_sentences import (
    decode_decides,
    describe_change,
    describe_spelling,
    spelling_decides,
    table_differs,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.decision.decision_table import Movement, TableReading
    from tasks.decision.guardrail import Guardrail
    from tasks.decision.harm_check import HarmCheck
    from tasks.decision.nonspeech_check import NonspeechCheck
    from tasks.decision.significance import CategoryResult
    from tasks.evaluation.keyword_change import KeywordErrorChange


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict with its grounds.

    Attributes:
        verdict: keep, grow, discard or inconclusive.
        bare: the specification's table, read literally on the same rows.
        findings: what is shown about each priority category.
        p_adjusted: each priority category's mid-p, corrected for their number (Holm).
        reasons: sentences that give the figures, the ground of the verdict first among them.
        route: the stage that takes the next step.
        basis: which rows it rests on, in words.
        rows_needed: rows of the basis, those that are there included, that would settle an
            inconclusive verdict; None for another verdict, or where rows could not settle it.
        guardrail: general English before and after; None without a set.
        nonspeech: words found where nobody speaks, before and after; None if not looked at.
        harm_checks: what else was looked at for harm.
        canonical: the judged differences of the priority categories with every spelling of a term
            counted as found; empty if that was not looked at.
        missed_by_spelling: by priority category, rows missed by spelling only, before and after.
        views: what other views of the same rows would have decided.
        plain: the judged differences of the priority categories by one decode a row; empty where
            the rows were decoded once.
    """

    verdict: Verdict
    bare: TableReading
    findings: Mapping[str, CategoryResult]
    p_adjusted: Mapping[str, float]
    reasons: tuple[str, ...]
    route: str
    basis: str
    rows_needed: int | None = None
    guardrail: Guardrail | None = None
    nonspeech: NonspeechCheck | None = None
    harm_checks: tuple[HarmCheck, ...] = ()
    canonical: Mapping[str, KeywordErrorChange] = field(default_factory=dict)
    missed_by_spelling: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    views: Mapping[str, Verdict] = field(default_factory=dict)
    plain: Mapping[str, KeywordErrorChange] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rows_needed is not None and self.verdict is not Verdict.INCONCLUSIVE:
            raise ValueError("only an inconclusive verdict asks for rows")

    @property
    def movements(self) -> Mapping[str, Movement]:
        """The table's row for each priority category."""
        return self.bare.movements

    @property
    def fragility(self) -> str | None:
        """Whether another view would have decided otherwise, in a sentence; None without views."""
        if not self.views:
            return None
        otherwise = {name: made for name, made in self.views.items() if made is not self.verdict}
        if not otherwise:
            return f"No other view would have decided otherwise ({', '.join(self.views)})."
        told = ", ".join(f"{name}: {made.value}" for name, made in otherwise.items())
        agreeing = ", ".join(name for name in self.views if name not in otherwise) or "none"
        return f"Fragile: another view would have decided otherwise ({told}; alike: {agreeing})."

    def as_dict(self) -> dict[str, object]:
        """Return the decision as decision.json holds it."""
        return {
            "decision": self.verdict.value,
            "bare_decision": self.bare.verdict.value,
            "views": {name: made.value for name, made in self.views.items()},
            "fragility": self.fragility,
            "canonical": {
                category: {
                    "n": delta.n,
                    "ker_a": delta.before.rate,
                    "ker_b": delta.after.rate,
                    "missed_by_spelling_only_a": self.missed_by_spelling[category][0],
                    "missed_by_spelling_only_b": self.missed_by_spelling[category][1],
                }
                for category, delta in self.canonical.items()
            },
            **(
                {"plain": {name: delta.as_dict() for name, delta in self.plain.items()}}
                if self.plain
                else {}
            ),
            "reasons": list(self.reasons),
            "rows_needed": self.rows_needed,
            "route": self.route,
            "basis": self.basis,
            "findings": {category: finding.value for category, finding in self.findings.items()},
            "p_adjusted": dict(self.p_adjusted),
            "movements": {category: row.value for category, row in self.movements.items()},
            "guardrail": None if self.guardrail is None else self.guardrail.as_dict(),
            "nonspeech": None if self.nonspeech is None else self.nonspeech.as_dict(),
            **{check.name: check.as_dict() for check in self.harm_checks},
        }


def decide(
    evidence: DecisionEvidence,
    priority: Sequence[str],
    policy: DecisionPolicy = POLICY,
    *,
    how_to_check: str | None = None,
) -> Decision:
    """Judge a tuned model by its evidence on the priority categories.

    Args:
        evidence: of both models.
        priority: the categories that decide.
        policy: the numbers of the decision.
        how_to_check: what to do about forgetting that was not looked at; None for a run's way.

    Raises:
        InputError: a priority category has no row with a term.
    """
    require_rows(evidence.judged, priority, evidence.basis)
    rules = DecisionRules.from_evidence(evidence, priority, policy, how_to_check)
    judged, findings = rules.judged, rules.findings
    one_decode = evidence.views.get(PLAIN_DECODE)
    plain = {} if one_decode is None else {name: one_decode.judged[name] for name in priority}
    # The specification's table, like the leaderboard, looks at one decode a row.
    bare = read_table(plain or evidence.judged, priority, evidence.basis, policy)
    verdict, grounds, needed = rules.verdict()
    views = {
        name: DecisionRules.from_evidence(view, priority, policy).verdict()[0]
        for name, view in evidence.views.items()
    }
    blind = evidence.views.get(SPELLING_BLIND)
    canonical = {} if blind is None else {name: blind.judged[name] for name in priority}
    by_spelling = {
        name: (
            judged[name].before.hits - delta.before.hits,
            judged[name].after.hits - delta.after.hits,
        )
        for name, delta in canonical.items()
    }
    spelling_lines = [
        describe_spelling(judged[name], canonical[name], counts)
        for name, counts in by_spelling.items()
        if any(counts)
    ]
    reasons = [
        *spelling_decides(verdict, views, spelling_lines),
        *decode_decides(verdict, views, judged, plain),
        *([] if evidence.pronunciation_gap is None else [evidence.pronunciation_gap]),
        *(
            describe_change(delta, movement(delta, policy), findings[name], policy, plain.get(name))
            for name, delta in judged.items()
        ),
        *grounds,
        *rules.remarks(verdict, grounds),
        *spelling_lines,
        *table_differs(bare, verdict, findings),
    ]
    return Decision(
        verdict=verdict,
        bare=bare,
        findings=findings,
        p_adjusted=rules.p_adjusted,
        reasons=tuple(reasons),
        route=neighbour_stages.SERVING if verdict is Verdict.KEEP else neighbour_stages.BUILD,
        basis=evidence.basis,
        rows_needed=needed,
        guardrail=evidence.guardrail,
        nonspeech=evidence.nonspeech,
        harm_checks=evidence.harm_checks,
        canonical=canonical,
        missed_by_spelling=by_spelling,
        views=views,
        plain=plain,
    )
