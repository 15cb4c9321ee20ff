"""Keep the model, grow the manifest, discard, or say that the rows cannot tell (docs/verdict.md).

The specification's table compares two shares. Here each verdict needs evidence:

- keep: the drop on a priority category is meaningful and shown, no priority category is shown to be
  worse, the gain does not come from false keywords, and the guardrail held;
- discard: a priority category is shown to be worse, or the guardrail is broken, or words are found
  where nobody speaks, or another harm is shown (tasks/decision/harm_check.py), or the gain is false
  keywords, or it is on trained rows alone;
- grow: the drop is shown, but smaller than wanted; or no wanted drop is left in the interval; or
  the specification's stopping rules say so;
- inconclusive: none of these; it names how many rows would settle it.

"Shown" is McNemar's mid-p under alpha; a gain must be shown over terms too, where enough of them
changed (tasks/decision/significance.py). Of rows that were decoded several times it is that of a
sign-flip test (tasks/evaluation/share_differences.py). For a keep the p-values of all priority
categories are corrected together (Holm 1979), so that more categories are not more chances; for
harm they are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.common import neighbour_stages
from tasks.common.errors import InputError
from tasks.decision.decision_table import (
    POLICY,
    DecisionPolicy,
    Movement,
    TableReading,
    Verdict,
    describe,
    movement,
    read_table,
)
from tasks.decision.guardrail import Guardrail, GuardrailStatus
from tasks.decision.significance import (
    CategoryResult,
    classify_change,
    gained_by_false_keywords,
    p_of_harm,
    rows_needed,
)
from tasks.evaluation import statistics
from tasks.evaluation.row_basis import EVERY_ROW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.decision.harm_check import HarmCheck
    from tasks.decision.nonspeech_check import NonspeechCheck
    from tasks.evaluation.diff import KeywordErrorChange

__all__ = [
    "POLICY",
    "CategoryResult",
    "Decision",
    "DecisionEvidence",
    "DecisionPolicy",
    "Movement",
    "TableReading",
    "Verdict",
    "decide",
    "movement",
    "read_table",
    "require_rows",
    "rows_needed",
]

CHECK_IT = (
    "A model that gained the terms may have lost the rest of the language: have it checked by "
    "--general with a manifest of ordinary sentences."
)
PLAIN_DECODE = "plain decode"
STRICT = "strict"
SPELLING_BLIND = "spelling-blind"
GUARDRAIL_TO_THE_LETTER = "general English to the letter"
TWO_PART = "two-part"
"""The names of the other views of the rows; see tasks/decision/evidence.py."""

UNCHECKED = "Forgetting was not checked: there is no guardrail set of general English."


@dataclass(frozen=True, slots=True)
class DecisionEvidence:
    """The evidence of a decision.

    Attributes:
        judged: the differences by category on the rows that decide.
        basis: which rows those are, in words.
        trained: the same on the rows that were trained on; empty if it is not known which.
        with_false_keywords_as_misses: the judged differences, where a row that holds a false
            keyword counts as missed; empty if that was not looked at.
        false_keywords: by category, rows that hold a false keyword before and after.
        guardrail: general English before and after; None without a set.
        nonspeech: words found where nobody speaks, before and after; None if not looked at.
        harm_checks: what else was looked at for harm.
        pronunciation_gap: the finding that it is no model gap (tasks/decision/gate.py), if it is
            there.
        overfit: the finding that validation WER rose while the training loss fell, if it is there.
        previous: each category's relative change in the cycle before, where it is known.
        views: the evidence by other views of the same rows; empty if that was not looked at.
    """

    judged: Mapping[str, KeywordErrorChange]
    basis: str
    trained: Mapping[str, KeywordErrorChange] = field(default_factory=dict)
    with_false_keywords_as_misses: Mapping[str, KeywordErrorChange] = field(default_factory=dict)
    false_keywords: Mapping[str, KeywordErrorChange] = field(default_factory=dict)
    guardrail: Guardrail | None = None
    nonspeech: NonspeechCheck | None = None
    harm_checks: tuple[HarmCheck, ...] = ()
    pronunciation_gap: str | None = None
    overfit: str | None = None
    previous: Mapping[str, float | None] = field(default_factory=dict)
    views: Mapping[str, DecisionEvidence] = field(default_factory=dict)


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


def require_rows(
    changes: Mapping[str, KeywordErrorChange], priority: Sequence[str], basis: str
) -> None:
    """Refuse a priority category that has no row with a term.

    Raises:
        InputError: a priority category has no row with a term.
    """
    for category in priority:
        if category not in changes or not changes[category].n:
            raise InputError(
                f"no {basis} row of category {category!r} has a term: there is nothing to decide "
                "on. Fix: name another category with --priority, or grow the manifest."
            )


def decide(
    evidence: DecisionEvidence, priority: Sequence[str], policy: DecisionPolicy = POLICY
) -> Decision:
    """Judge a tuned model by its evidence on the priority categories.

    Raises:
        InputError: a priority category has no row with a term.
    """
    require_rows(evidence.judged, priority, evidence.basis)
    rules, adjusted = _rules(evidence, priority, policy)
    judged, findings = rules.judged, rules.findings
    one_decode = evidence.views.get(PLAIN_DECODE)
    plain = {} if one_decode is None else {name: one_decode.judged[name] for name in priority}
    # The specification's table, like the leaderboard, looks at one decode a row.
    bare = read_table(plain or evidence.judged, priority, evidence.basis, policy)
    verdict, grounds, needed = rules.verdict()
    views = {
        name: _rules(view, priority, policy)[0].verdict()[0]
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
        _spelling(judged[name], canonical[name], counts)
        for name, counts in by_spelling.items()
        if any(counts)
    ]
    reasons = [
        *_spelling_decides(verdict, views, spelling_lines),
        *_decode_decides(verdict, views, judged, plain),
        *([] if evidence.pronunciation_gap is None else [evidence.pronunciation_gap]),
        *(
            _figures(delta, movement(delta, policy), findings[name], policy, plain.get(name))
            for name, delta in judged.items()
        ),
        *grounds,
        *rules.remarks(verdict, grounds),
        *spelling_lines,
    ]
    if bare.verdict is not verdict:
        caveat = _TABLE_CAVEATS[verdict]
        if verdict is Verdict.INCONCLUSIVE and CategoryResult.IMPROVED in findings.values():
            caveat = "does not look at general English"
        reasons.append(
            f"The specification's table says {bare.verdict.value} on the same rows: it {caveat}."
        )
    return Decision(
        verdict=verdict,
        bare=bare,
        findings=findings,
        p_adjusted=adjusted,
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


def _rules(
    evidence: DecisionEvidence, priority: Sequence[str], policy: DecisionPolicy
) -> tuple[_DecisionRules, dict[str, float]]:
    """Return the rules on this evidence, and the priority categories' corrected p-values."""
    judged = {category: evidence.judged[category] for category in priority}
    adjusted = statistics.holm(
        {category: 1.0 if delta.p is None else delta.p for category, delta in judged.items()}
    )
    harm = statistics.holm(
        {category: p_of_harm(delta, policy) for category, delta in judged.items()}
    )
    findings = {
        category: classify_change(delta, adjusted[category], policy, harm[category])
        for category, delta in judged.items()
    }
    return _DecisionRules(evidence, judged, findings, policy), adjusted


def _spelling(
    letter: KeywordErrorChange, canonical: KeywordErrorChange, counts: tuple[float, float]
) -> str:
    """Describe a category's canonical KER beside its KER."""
    return (
        f"{letter.category}: KER {letter.before.rate:.3f} → {letter.after.rate:.3f}, canonical KER "
        f"{canonical.before.rate:.3f} → {canonical.after.rate:.3f}; missed by spelling only: "
        f"{counts[0]:g} → {counts[1]:g} of {letter.before.unit}."
    )


def _decode_decides(
    verdict: Verdict,
    views: Mapping[str, Verdict],
    judged: Mapping[str, KeywordErrorChange],
    plain: Mapping[str, KeywordErrorChange],
) -> list[str]:
    """Say first where the verdict hangs on which of several unheard variants is decoded."""
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


def _spelling_decides(
    verdict: Verdict, views: Mapping[str, Verdict], spelling_lines: Sequence[str]
) -> list[str]:
    """Say first where the verdict hangs on how a term is spelled."""
    blind = views.get(SPELLING_BLIND, verdict)
    if blind is verdict:
        return []
    reason = (
        "Spelling decides here: with every spelling of a term counted as found it would be "
        f"{blind.value}, not {verdict.value}."
    )
    return [" ".join((reason, *spelling_lines))]


_TABLE_CAVEATS = {
    Verdict.KEEP: "counts a rise that chance explains as harm",
    Verdict.DISCARD: "looks at the two shares alone, not at what else is shown here",
    Verdict.GROW: "does not ask what the rows exclude",
    Verdict.INCONCLUSIVE: "does not ask whether chance explains the difference",
}


def _figures(
    delta: KeywordErrorChange,
    row: Movement,
    finding: CategoryResult,
    policy: DecisionPolicy,
    plain: KeywordErrorChange | None,
) -> str:
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


@dataclass(frozen=True, slots=True)
class _DecisionRules:
    """The decision's rules, a method each."""

    evidence: DecisionEvidence
    judged: Mapping[str, KeywordErrorChange]
    findings: Mapping[str, CategoryResult]
    policy: DecisionPolicy

    def verdict(self) -> tuple[Verdict, list[str], int | None]:
        """Return the verdict, its grounds, and the rows that would settle it."""
        if harms := [*self._discard_reasons()]:
            return Verdict.DISCARD, harms, None
        results = set(self.findings.values())
        if CategoryResult.IMPROVED in results:
            return self._keep_or_inconclusive()
        if CategoryResult.MOVED in results:
            return Verdict.GROW, ["Expand the manifest: signal density beats LR sweeps."], None
        if stopping_reasons := [*self._stopping_reasons()]:
            study_size = self._inconclusive()[1] if CategoryResult.UNSETTLED in results else []
            return Verdict.GROW, [*stopping_reasons, *study_size], None
        if CategoryResult.UNSETTLED not in results:
            return self._no_meaningful_drop()
        return self._inconclusive()

    def _discard_reasons(self) -> Iterable[str]:
        """Yield the grounds to discard, whatever was gained."""
        guardrail = self.evidence.guardrail
        if guardrail is not None and guardrail.status is GuardrailStatus.BROKEN:
            yield f"The model forgets. {guardrail}"
        if self.evidence.nonspeech is not None and self.evidence.nonspeech.harm is not None:
            yield self.evidence.nonspeech.harm
        yield from (check.harm for check in self.evidence.harm_checks if check.harm is not None)
        for category, finding in self.findings.items():
            if finding is CategoryResult.WORSE:
                yield (
                    f"{category} is shown to be worse: overfit on a small manifest. Grow it before "
                    "retraining; do not tune harder."
                )
            elif self._gained_by_false_keywords(category):
                yield self._false_keyword_reason(category)

    def _gained_by_false_keywords(self, category: str) -> bool:
        """Return whether false keywords rose and the gain vanishes without their rows."""
        rise = self.evidence.false_keywords.get(category)
        as_misses = self.evidence.with_false_keywords_as_misses.get(category)
        if rise is None or as_misses is None:
            return False
        rises = {
            name: p_of_harm(self.evidence.false_keywords[name], self.policy)
            for name in self.judged
            if name in self.evidence.false_keywords
        }
        p_rise = statistics.holm(rises)[category]
        found = self.findings[category]
        return gained_by_false_keywords(found, rise, as_misses, self.policy, p_rise)

    def _false_keyword_reason(self, category: str) -> str:
        rise = self.evidence.false_keywords[category]
        strict_change = self.evidence.with_false_keywords_as_misses[category]
        return (
            f"{category} is gained by false keywords: {rise.before.hits:g} → {rise.after.hits:g} "
            f"of {rise.n} rows hold a keyword that nobody said. Counted as missed, KER goes "
            f"{strict_change.before.rate:.3f} → {strict_change.after.rate:.3f}."
        )

    def _keep_or_inconclusive(self) -> tuple[Verdict, list[str], int | None]:
        guardrail = self.evidence.guardrail
        if guardrail is None:
            return Verdict.INCONCLUSIVE, [f"Gain shown, forgetting unchecked. {CHECK_IT}"], None
        if guardrail.status is GuardrailStatus.UNCLEAR:
            needed = guardrail.sentences_needed
            count = "" if needed is None else f" About {needed} sentences would settle it."
            ground = f"The gain is shown, but whether the model forgets is not. {guardrail}{count}"
            # More rows of the manifest would not settle that.
            return Verdict.INCONCLUSIVE, [ground], None
        doubts = [check.doubt for check in self.evidence.harm_checks if check.doubt is not None]
        if doubts:
            return Verdict.INCONCLUSIVE, doubts, None
        return (
            Verdict.KEEP,
            [f"Keep the .nemo; to deploy it, hand it to {neighbour_stages.SERVING}."],
            None,
        )

    def _stopping_reasons(self) -> Iterable[str]:
        """Yield the reasons of the specification's stopping rules."""
        if self.evidence.overfit is not None:
            yield f"{self.evidence.overfit} Overfit: grow the manifest."
        floor = -self.policy.measurable_change
        now_and_before = [
            change
            for category, delta in self.judged.items()
            for change in (delta.relative, self.evidence.previous.get(category))
        ]
        if all(change is not None and change > floor for change in now_and_before):
            yield (
                "Two cycles in a row with a KER drop under "
                f"{self.policy.measurable_change:.0%} relative: a floor. Grow the manifest, or "
                "accept the base."
            )

    def _no_meaningful_drop(self) -> tuple[Verdict, list[str], int | None]:
        """Return the verdict for categories that all lack the wanted drop."""
        memorised = [
            category
            for category, delta in self.evidence.trained.items()
            if category in self.findings
            and delta.p is not None
            and classify_change(delta, delta.p, self.policy) is CategoryResult.IMPROVED
        ]
        if memorised:
            trained_change = self.evidence.trained[memorised[0]]
            ground = (
                f"Memorised: {memorised[0]} KER fell {trained_change.before.rate:.3f} → "
                f"{trained_change.after.rate:.3f} on the rows that were trained on, and on the "
                f"{self.evidence.basis} rows no such drop is there."
            )
            return Verdict.DISCARD, [ground], None
        if set(self.findings.values()) == {CategoryResult.NOTHING}:
            ground = "Nothing was missed before: make the evaluation harder before tuning again."
        else:
            ground = (
                "The wanted drop is not there: check the figures by category, since some may be in "
                "the base's vocabulary already; then grow the manifest."
            )
        return Verdict.GROW, [ground], None

    def _inconclusive(self) -> tuple[Verdict, list[str], int | None]:
        unsettled = {
            category: rows_needed(self.judged[category], len(self.judged), self.policy)
            for category, finding in self.findings.items()
            if finding is CategoryResult.UNSETTLED
        }
        rows_by_category = {
            category: rows for category, rows in unsettled.items() if rows is not None
        }
        if not rows_by_category:
            ground = (
                "Chance explains the difference, and no number of rows would settle so small a one."
            )
            return Verdict.INCONCLUSIVE, [ground], None
        category = min(rows_by_category, key=lambda name: rows_by_category[name])
        current_rows = self.judged[category].rows
        rows = "rows" if self.evidence.basis == EVERY_ROW else f"{self.evidence.basis} rows"
        ground = (
            "Chance explains the difference. "
            f"About {rows_by_category[category]} {rows} of {category} would settle it "
            f"at these rates (now {current_rows}; power {self.policy.power:.0%})."
        )
        return Verdict.INCONCLUSIVE, [ground], rows_by_category[category]

    def remarks(self, verdict: Verdict, grounds: Sequence[str]) -> Iterable[str]:
        """Yield the remarks that a reader of any verdict must know, beside its grounds."""
        guardrail = self.evidence.guardrail
        if guardrail is None:
            yield UNCHECKED
        elif guardrail.status is GuardrailStatus.HELD:
            yield str(guardrail)
        if (nonspeech := self.evidence.nonspeech) is not None and nonspeech.harm is None:
            yield str(nonspeech)
        for check in self.evidence.harm_checks:
            if check.harm is None and check.doubt not in grounds:
                yield str(check)
        if verdict is Verdict.KEEP and self.evidence.overfit is not None:
            yield f"{self.evidence.overfit} The best checkpoint was taken."
