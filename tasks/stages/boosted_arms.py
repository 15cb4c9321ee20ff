"""Base and tuned model, each with and without boosted phrases: which of the four is best, and why.

The rows that choose say which one is best; the held-out rows judge that one against the base. What
the others gain is tested on the same rows, all comparisons corrected together (Holm 1979).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.common.counted import counted
from tasks.decision import mixture_choice
from tasks.decision.decision_table import POLICY, Verdict
from tasks.decision.evidence import evidence
from tasks.decision.guardrail import check_guardrail
from tasks.decision.verdict import decide
from tasks.evaluation import diff, statistics
from tasks.stages.boost import measure_boosting
from tasks.stages.boosting_evidence import count_misses, describe_untrained, terms_without_audio
from tasks.stages.boosting_inputs import JUDGED
from tasks.transcription.boosting import BASE, BoostedCandidate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tasks.decision.mixture_choice import Candidate
    from tasks.decision.verdict import Decision
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.runtimes.base import Runtime
    from tasks.stages.boost import BoostingResult
    from tasks.stages.boosting_evidence import FalseKeywordRow, TermMisses
    from tasks.stages.boosting_figures import JudgedScores
    from tasks.stages.boosting_inputs import BoostingLists, BoostingRows

BASE_ARM, BASE_BOOSTED, TUNED_ARM, TUNED_BOOSTED = (
    "base",
    "base boosted",
    "tuned",
    "tuned boosted",
)
ARMS = (BASE_ARM, BASE_BOOSTED, TUNED_ARM, TUNED_BOOSTED)
"""From the least effort to the most; of equal ones the first is chosen."""
COMPARISONS = (
    (BASE_ARM, BASE_BOOSTED),
    (BASE_ARM, TUNED_ARM),
    (BASE_ARM, TUNED_BOOSTED),
    (BASE_BOOSTED, TUNED_ARM),
    (BASE_BOOSTED, TUNED_BOOSTED),
    (TUNED_ARM, TUNED_BOOSTED),
)


@dataclass(frozen=True)
class ArmComparison:
    """Two of the four on the held-out rows of one category.

    Attributes:
        before: the one with less effort.
        after: the other.
        change: of KER.
        p_adjusted: of McNemar's mid-p, all comparisons corrected together.
    """

    before: str
    after: str
    change: KeywordErrorChange
    p_adjusted: float

    @property
    def shown(self) -> bool:
        """Whether the second is shown to miss fewer terms."""
        return self.p_adjusted < POLICY.alpha and self.change.fixed > self.change.broken

    def as_dict(self) -> dict[str, object]:
        """Return the comparison as decision.json holds it."""
        return {
            "before": self.before,
            "after": self.after,
            "category": self.change.category,
            "p_adjusted": self.p_adjusted,
            **self.change.as_dict(),
        }


@dataclass(frozen=True)
class ArmEvidence:
    """What the four come to by strength, by term and by false keyword.

    Attributes:
        models: the figures of each on the rows that judge.
        strengths: of base boosted and tuned boosted, by strength, on the rows that choose.
        terms: of the rows that judge, and how often each of the four missed them.
        untrained: KER on the terms that no row trained; None where there is none.
        false_keywords: rows in which a boosted model wrote a term that nobody said.
    """

    models: Mapping[str, Mapping[str, Any]]
    strengths: Mapping[str, Sequence[Mapping[str, Any]]]
    terms: tuple[TermMisses, ...]
    untrained: Mapping[str, Any] | None
    false_keywords: tuple[FalseKeywordRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the evidence as decision.json holds it."""
        return {
            "models": dict(self.models),
            "strengths": dict(self.strengths),
            "terms": [one.as_dict() for one in self.terms],
            "terms_without_audio": self.untrained,
            "false_keyword_rows": [row.as_dict() for row in self.false_keywords],
        }


@dataclass(frozen=True)
class BoostedArms:
    """What the four come to.

    Attributes:
        lists: the judged list, in words.
        strengths: of the base's boosting and of the tuned model's.
        chosen: the one that the rows that choose say is best.
        reason: why that one.
        decision: on it, against the base; None where the base itself is chosen.
        comparisons: of all pairs, by category.
        scores: of each on the rows that judge.
        phrases: what a clinic uses of the list.
        evidence: what the four come to by strength, term and false keyword.
    """

    lists: str
    strengths: tuple[float, float]
    chosen: str
    reason: str
    decision: Decision | None
    comparisons: tuple[ArmComparison, ...]
    scores: Mapping[str, JudgedScores]
    phrases: tuple[str, ...]
    evidence: ArmEvidence

    def findings(self) -> list[str]:
        """Say what boosting and tuning add to each other."""
        shown = {(one.before, one.after) for one in self.comparisons if one.shown}
        found = [f"Of four models {self.chosen} is chosen. {self.reason}"]
        if self.chosen == BASE_BOOSTED and self._keeps:
            found.append("Boosting alone reaches it: no training was needed.")
        for pair, adds in (
            ((BASE_BOOSTED, TUNED_BOOSTED), "tuning adds to boosting"),
            ((TUNED_ARM, TUNED_BOOSTED), "boosting adds to tuning"),
            ((BASE_BOOSTED, TUNED_ARM), "tuning finds more terms than boosting"),
        ):
            sure = "It is shown that" if pair in shown else "It is not shown that"
            found.append(f"{sure} {adds}.")
        return found

    def notes(self) -> list[str]:
        """Return the findings, and what each misses of the terms that no row trained."""
        untrained = self.evidence.untrained
        return [*self.findings(), *([] if untrained is None else describe_untrained(untrained))]

    @property
    def _keeps(self) -> bool:
        return self.decision is not None and self.decision.verdict is Verdict.KEEP

    def as_dict(self) -> dict[str, Any]:
        """Return the four as decision.json holds them."""
        return {
            "list": self.lists,
            "strength": {BASE_BOOSTED: self.strengths[0], TUNED_BOOSTED: self.strengths[1]},
            "chosen": self.chosen,
            "reason": self.reason,
            "decision": None if self.decision is None else self.decision.as_dict(),
            "findings": self.findings(),
            "comparisons": [one.as_dict() for one in self.comparisons],
            **self.evidence.as_dict(),
        }


def measure_arms(
    base: Path,
    tuned: Path,
    lists: BoostingLists,
    rows: BoostingRows,
    work: Path,
    runtime: Runtime,
    *,
    strength: float | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> BoostedArms:
    """Decode by base and tuned model with and without phrases, choose one of the four, judge it.

    Args:
        base: the base's .nemo.
        tuned: the model that the run ships.
        lists: of phrases, as the base writes.
        rows: that choose and judge.
        work: a folder for the jobs.
        runtime: where they run.
        strength: of both; None for one chosen for each.
        report: is called with lines for a person.

    Raises:
        TranscriptionError: this NeMo or this base cannot be boosted, or decoding failed.
    """
    results = [
        measure_boosting(model, lists, rows, work, runtime, strength=strength, report=report)
        for model in (base, tuned)
    ]
    return compare_arms(results[0], results[1])


def compare_arms(base: BoostingResult, tuned: BoostingResult) -> BoostedArms:
    """Choose one of the four by the rows that choose, and test all pairs on the others."""
    rows = base.rows
    candidates: dict[str, tuple[BoostingResult, BoostedCandidate]] = {}
    strengths = []
    for result, plain, boosted in (
        (base, BASE_ARM, BASE_BOOSTED),
        (tuned, TUNED_ARM, TUNED_BOOSTED),
    ):
        strength = result.boosted[JUDGED].choice.strength
        strengths.append(strength)
        candidates[plain] = (result, BASE)
        candidates[boosted] = (result, BoostedCandidate(JUDGED, strength))
    scores = {arm: result.judged[one] for arm, (result, one) in candidates.items()}
    tried = {arm: result.tried.get(one) for arm, (result, one) in candidates.items()}
    chosen, reason = choose_arm(tried, rows)
    decision = None
    if chosen != BASE_ARM:
        decision = _decide(rows, scores[BASE_ARM], scores[chosen], base.vocabulary)
    return BoostedArms(
        base.lists.kind,
        (strengths[0], strengths[1]),
        chosen,
        reason,
        decision,
        compare_all(scores, rows.priority),
        scores,
        base.lists.kept,
        _gather_evidence(base, tuned, scores),
    )


def _gather_evidence(
    base: BoostingResult, tuned: BoostingResult, scores: Mapping[str, JudgedScores]
) -> ArmEvidence:
    trained = base.rows.trained_terms
    held_out = {arm: of_arm.held_out for arm, of_arm in scores.items()}
    wrong = [
        replace(row, model=arm)
        for arm, result in ((BASE_BOOSTED, base), (TUNED_BOOSTED, tuned))
        for row in result.false_keywords
    ]
    return ArmEvidence(
        {
            BASE_ARM: base.base,
            BASE_BOOSTED: base.boosted[JUDGED].figures,
            TUNED_ARM: tuned.base,
            TUNED_BOOSTED: tuned.boosted[JUDGED].figures,
        },
        {BASE_BOOSTED: base.strengths(JUDGED), TUNED_BOOSTED: tuned.strengths(JUDGED)},
        count_misses(held_out, trained),
        terms_without_audio(held_out, trained, base.rows.priority),
        tuple(wrong),
    )


def choose_arm(tried: Mapping[str, Candidate | None], rows: BoostingRows) -> tuple[str, str]:
    """Choose one of the four by the rows that choose.

    Args:
        tried: the figures of each on these rows; None where it was not decoded there.
        rows: their limit.

    Returns:
        Which one, and the reason.
    """
    figures = {arm: one for arm, one in tried.items() if one is not None and one.misses}
    base = figures.get(BASE_ARM)
    if base is None or len(figures) < len(ARMS):
        return TUNED_ARM, "Too few selection rows to choose: the tuned model was stated beforehand."
    holds = dict(figures)
    if base.general_wer is not None:
        # The curve has judged each value and each strength by itself; here two may add up.
        limit = rows.policy.limit(base.general_wer)
        holds = {
            arm: one
            for arm, one in figures.items()
            if arm == BASE_ARM or mixture_choice.may_hold(base, one, limit)
        }
    best = min(holds, key=lambda arm: (holds[arm].figure or 0.0, ARMS.index(arm)))
    told = ", ".join(f"{arm} {figures[arm].figure:.3f}" for arm in ARMS)
    left = [arm for arm in ARMS if arm not in holds]
    broken = f"; general English breaks by {', '.join(left)}" if left else ""
    return best, f"KER on {counted(len(base.misses), 'selection row')}: {told}{broken}."


def compare_all(
    scores: Mapping[str, JudgedScores], priority: Sequence[str]
) -> tuple[ArmComparison, ...]:
    """Test all pairs on the held-out rows of each priority category, corrected together."""
    changes = {
        (before, after, category): diff.pair(
            scores[before].held_out, scores[after].held_out
        ).by_category[category]
        for before, after in COMPARISONS
        for category in priority
    }
    keys = {" / ".join(key): key for key in changes}
    adjusted = statistics.holm({name: _p(changes[key]) for name, key in keys.items()})
    return tuple(
        ArmComparison(key[0], key[1], changes[key], adjusted[name]) for name, key in keys.items()
    )


def _p(change: KeywordErrorChange) -> float:
    return 1.0 if change.p is None else change.p


def _decide(
    rows: BoostingRows, before: JudgedScores, after: JudgedScores, vocabulary: Sequence[str]
) -> Decision:
    guardrail = None
    if rows.general is not None:
        guardrail = check_guardrail(
            before.general, after.general, rows.policy, synthetic=rows.general.synthetic
        )
    pairing = diff.pair(before.held_out, after.held_out)
    return decide(evidence(pairing, guardrail=guardrail, vocabulary=vocabulary), rows.priority)
