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
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.decision.decision_table import Verdict
from tasks.decision.guardrail import GuardrailStatus
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

    from tasks.decision.decision_table import DecisionPolicy
    from tasks.decision.guardrail import Guardrail
    from tasks.decision.harm_check import HarmCheck
    from tasks.decision.nonspeech_check import NonspeechCheck
    from tasks.evaluation.keyword_change import KeywordErrorChange

_BY_CHANCE = "Chance explains the difference"
_NOTHING_MOVED = "No term was fixed and none broken"
PLAIN_DECODE = "plain decode"
STRICT = "strict"
SPELLING_BLIND = "spelling-blind"
GUARDRAIL_TO_THE_LETTER = "general English to the letter"
TWO_PART = "two-part"
"""The names of the other views of the rows; see tasks/decision/evidence.py."""
UNCHECKED = "Forgetting was not checked: there is no guardrail set of general English."


def check_in_a_run() -> str:
    """Return what to do about forgetting that a run did not look at."""
    return f"Run again with {name_of('general')} and a manifest of ordinary sentences."


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
        pronunciation_gap: the finding that it is no model gap, if it is there
            (tasks/decision/pronunciation_gap.py).
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
                f"on. Fix: name another category with {name_of('priority')}, or grow the manifest."
            )


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """The rules of a decision on one body of evidence, a method each.

    Attributes:
        evidence: what is judged.
        judged: of it, the differences of the priority categories.
        findings: what is shown about each of these.
        p_adjusted: the p-value of each, corrected for their number (Holm).
        policy: the numbers of the decision.
        how_to_check: what the user does about forgetting that was not looked at; it depends on who
            asks for the decision.
    """

    evidence: DecisionEvidence
    judged: Mapping[str, KeywordErrorChange]
    findings: Mapping[str, CategoryResult]
    p_adjusted: Mapping[str, float]
    policy: DecisionPolicy
    how_to_check: str = field(default_factory=check_in_a_run)

    @classmethod
    def from_evidence(
        cls,
        evidence: DecisionEvidence,
        priority: Sequence[str],
        policy: DecisionPolicy,
        how_to_check: str | None = None,
    ) -> DecisionRules:
        """Return the rules on this evidence, with what is shown about each priority category."""
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
        how = check_in_a_run() if how_to_check is None else how_to_check
        return cls(evidence, judged, findings, adjusted, policy, how)

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
            ground = (
                "Gain shown, forgetting unchecked. A model that gained the terms may have lost the "
                f"rest of the language. Fix: {self.how_to_check}"
            )
            return Verdict.INCONCLUSIVE, [ground], None
        if guardrail.status is GuardrailStatus.UNCLEAR:
            needed = guardrail.sentences_needed
            count = (
                "" if needed is None else f" About {counted(needed, 'sentence')} would settle it."
            )
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
        moved = any(
            delta.fixed or delta.broken or delta.before.hits != delta.after.hits
            for name, delta in self.judged.items()
            if name in unsettled
        )
        if not rows_by_category:
            ground = f"{_NOTHING_MOVED}, and no number of rows would settle that."
            if moved:
                ground = f"{_BY_CHANCE}, and no number of rows would settle so small a one."
            return Verdict.INCONCLUSIVE, [ground], None
        category = min(rows_by_category, key=lambda name: rows_by_category[name])
        current_rows = self.judged[category].rows
        rows = "rows" if self.evidence.basis == EVERY_ROW else f"{self.evidence.basis} rows"
        ground = (
            f"{_BY_CHANCE if moved else f'{_NOTHING_MOVED}; so few rows do not exclude a drop'}. "
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
