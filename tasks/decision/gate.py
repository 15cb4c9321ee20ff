"""The gate: decide whether tuning is worth the GPU time (specification, rules 4 to 6; contracts).

A refusal is a verdict, not an error: it names its route. All reasons are collected, the most
fundamental first; the first one's action and route are the gate's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.common import neighbour_stages
from tasks.data.manifest_language import manifest_language
from tasks.decision.baseline_coverage import coverage_warnings
from tasks.decision.pronunciation_gap import pronunciation_gap
from tasks.evaluation.score_summary import counted_n
from tasks.models.catalog import LEGACY_FALLBACK, RECOMMENDED, Base, Method, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.data.manifest import Utterance
    from tasks.decision.boosting_gate import BoostingAnswer
    from tasks.decision.gate_policy import GatePolicy
    from tasks.evaluation.error_counts import Proportion
    from tasks.evaluation.scoring import Scores


class Action(StrEnum):
    """The action to take next."""

    TUNE = "tune"
    BUILD = "build-manifest"
    EVALUATE = "evaluate-baseline"
    GROW = "grow-manifest"
    HARDEN = "make-eval-harder"
    FIX_PRONUNCIATION = "fix-pronunciation"
    SUBSTITUTE_BASE = "substitute-base"
    STOCK_SFT = "use-stock-sft"
    OTHER_LANGUAGE = "other-language"


@dataclass(frozen=True, slots=True)
class GateInputs:
    """The inputs that the gate judges.

    Attributes:
        utterances: the manifest's rows, or None where there is no manifest.
        baseline: the cycle's scored evaluation result, or None where there is none.
        base: the model that is to be tuned.
        method: how.
        cycle: the cycle's number, from 1; a later cycle's number is above 1.
        previous_rows: rows of the cycle before, or None if that is not known.
        baseline_notes: what a user should know of the baseline's file.
        base_notes: what a user should know of the base.
        left_out: rows of the same file that the model was trained on or chosen by; they are no
            part of ``baseline``.
        holds_evaluation: whether the folder has the evaluation of a run on the cycle before.
        transcribe: the command that scores the cycle by the base.
        other_model: why the evaluation that is there is no baseline, with the fix: it is known to
            be of another model than the base.
    """

    utterances: Sequence[Utterance] | None
    baseline: Scores | None
    base: Base
    method: Method = Method.SFT
    cycle: int = 1
    previous_rows: int | None = None
    baseline_notes: tuple[str, ...] = ()
    base_notes: tuple[str, ...] = ()
    left_out: Scores | None = None
    holds_evaluation: bool = False
    transcribe: str = "asr-flywheel transcribe"
    other_model: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """One ground for the verdict, with the stage to go to next."""

    action: Action
    route: str
    message: str


@dataclass(frozen=True, slots=True)
class GateResult:
    """The verdict. ``route`` is where to go next; for a passed gate, on with this stage.

    Whether boosting alone is enough is ``boosting``, where that was measured; it changes no other
    field.
    """

    passed: bool
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...] = ()
    figures: dict[str, object] = field(default_factory=dict)
    boosting: BoostingAnswer | None = None

    @property
    def action(self) -> Action:
        """The next action: the first reason's."""
        return self.reasons[0].action

    @property
    def route(self) -> str:
        """The stage of the next action: the first reason's."""
        return self.reasons[0].route

    def as_dict(self) -> dict[str, object]:
        """Return the record that ``asr-flywheel gate --json`` prints."""
        return {
            "passed": self.passed,
            "action": self.action.value,
            "route": self.route,
            "reasons": [reason.message for reason in self.reasons],
            "warnings": list(self.warnings),
            "figures": self.figures,
            **({} if self.boosting is None else {"boosting": self.boosting.as_dict()}),
        }


def check_gate(evidence: GateInputs, policy: GatePolicy) -> GateResult:
    """Judge whether tuning is worth it."""
    refusals = list(_refusals(evidence, policy))
    warnings = tuple(_warnings(evidence))
    figures = _figures(evidence, policy)
    if refusals:
        return GateResult(False, tuple(_with_ker(refusals, evidence, policy)), warnings, figures)
    return GateResult(True, (_passed_reason(evidence, policy),), warnings, figures)


def _with_ker(
    refusals: Sequence[Reason], evidence: GateInputs, policy: GatePolicy
) -> Iterable[Reason]:
    """Yield the refusals, with the baseline's KER in the first one where none of them says it."""
    worst = None if evidence.baseline is None else _worst_priority(evidence.baseline, policy)
    shown = "" if worst is None else _shown(*worst)
    is_said = any(shown in reason.message for reason in refusals)
    first, *others = refusals
    yield first if is_said else replace(first, message=f"{first.message} By its baseline {shown}.")
    yield from others


_ONLY_EVALUATION = (
    " The folder holds the evaluation of the model that cycle {0} tuned. It gets rows with "
    "`asr-flywheel combine`, from those of cycle {0} and new ones (docs/next-month.md)."
)


def _refusals(evidence: GateInputs, policy: GatePolicy) -> Iterable[Reason]:
    if evidence.utterances is None:
        yield Reason(
            Action.BUILD,
            neighbour_stages.BUILD,
            f"There is no manifest: build one first with {neighbour_stages.BUILD}."
            + (_ONLY_EVALUATION.format(evidence.cycle - 1) if evidence.holds_evaluation else ""),
        )
    elif evidence.baseline is None:
        yield Reason(
            Action.EVALUATE,
            neighbour_stages.EVAL,
            f"There is no baseline: score the cycle first with {neighbour_stages.EVAL} "
            f"(or `{evidence.transcribe}`)."
            if evidence.other_model is None
            else f"There is no baseline of {evidence.base.name} ({neighbour_stages.EVAL}). "
            f"{evidence.other_model}",
        )
    yield from _language_refusals(evidence.utterances or ())
    yield from _base_refusals(evidence.base, evidence.method)
    if evidence.utterances is not None and evidence.baseline is not None:
        yield from _pronunciation_refusals(evidence.baseline, policy)
        yield from _ker_refusals(evidence, evidence.baseline, policy)
    if evidence.utterances is not None:
        yield from _size_refusals(evidence.utterances, policy)


def _language_refusals(utterances: Sequence[Utterance]) -> Iterable[Reason]:
    language = manifest_language(utterances)
    if language is not None and language != "en":
        yield Reason(
            Action.OTHER_LANGUAGE,
            neighbour_stages.GENERIC,
            f"The manifest's language is {language!r}, not English. The bases and the recipe are "
            "for US English: another language needs another base and a recipe validated on it "
            f"({neighbour_stages.GENERIC}). If it is English after all, such as notes in "
            'shorthand, say so: give its rows a field "lang": "en".',
        )


def _base_refusals(base: Base, method: Method) -> Iterable[Reason]:
    if base.status is Status.BROKEN:
        yield Reason(
            Action.SUBSTITUTE_BASE,
            neighbour_stages.FINETUNE,
            f"Do not tune {base.name}: {base.note}. Use {RECOMMENDED} instead "
            f"(legacy fallback: {LEGACY_FALLBACK}).",
        )
    if method is Method.ADAPTER:
        ground = (
            "on TDT and RNN-T decoders the specification found 72 NaN tensors at any learning "
            "rate. NeMo 3.0 with random weights showed none in 96 here, which clears no real model"
            if base.decoder.has_transducer
            else "adapters are not part of this recipe"
        )
        yield Reason(
            Action.STOCK_SFT,
            neighbour_stages.FINETUNE,
            f"No adapter on {base.name}: {ground}. Use stock full-model tuning.",
        )


def _pronunciation_refusals(baseline: Scores, policy: GatePolicy) -> Iterable[Reason]:
    gap = pronunciation_gap(baseline, policy)
    if gap is not None:
        yield Reason(Action.FIX_PRONUNCIATION, neighbour_stages.BUILD, gap.advice)


def _ker_refusals(evidence: GateInputs, baseline: Scores, policy: GatePolicy) -> Iterable[Reason]:
    worst = _worst_priority(baseline, policy)
    if worst is None:
        utterances = evidence.utterances or ()
        if any(
            _rows_of(utterances, category) < policy.min_priority_rows
            for category in policy.priority
        ):
            return  # the manifest lacks the rows: evaluating it again could not help
        names = ", ".join(policy.priority)
        yield Reason(
            Action.EVALUATE,
            neighbour_stages.EVAL,
            f"The baseline has no row of {names} with a term, so that there is no KER to judge: "
            f"score the whole manifest with {neighbour_stages.EVAL} or `{evidence.transcribe}`.",
        )
        return
    category, share = worst
    ker = share.rate or 0.0
    shown = _shown(category, share)
    if ker > policy.tune_above:
        return
    if ker < policy.harden_below:
        yield Reason(
            Action.HARDEN,
            neighbour_stages.BUILD,
            f"Do not tune: {shown}, under {policy.harden_below}. Make the "
            "evaluation harder (voices, noise, contexts, adversarial terms) with "
            f"{neighbour_stages.BUILD}.",
        )
    elif not _is_later_and_grown(evidence):
        when = "and the manifest has not grown since the cycle before"
        if evidence.cycle == 1:
            when = "on a first evaluation"
        elif evidence.previous_rows is None:
            when = "and no cycle before is there to show that the manifest has grown"
        yield Reason(
            Action.GROW,
            neighbour_stages.BUILD,
            f"{shown}, not above {policy.tune_above}, {when}: grow the term "
            f"list with {neighbour_stages.BUILD}.",
        )


def _is_later_and_grown(evidence: GateInputs) -> bool:
    rows = len(evidence.utterances or ())
    return (
        evidence.cycle > 1 and evidence.previous_rows is not None and rows > evidence.previous_rows
    )


def _size_refusals(utterances: Sequence[Utterance], policy: GatePolicy) -> Iterable[Reason]:
    if len(utterances) < policy.min_rows:
        yield Reason(
            Action.GROW,
            neighbour_stages.BUILD,
            f"The manifest has {len(utterances)} rows, fewer than {policy.min_rows}: the result "
            f"would be noise. Grow it with {neighbour_stages.BUILD}.",
        )
    for category in policy.priority:
        rows = _rows_of(utterances, category)
        if rows < policy.min_priority_rows:
            yield Reason(
                Action.GROW,
                neighbour_stages.BUILD,
                f"The priority category {category} has {rows} rows, fewer than "
                f"{policy.min_priority_rows}: held-out figures would be noise. Grow it with "
                f"{neighbour_stages.BUILD}.",
            )


def _rows_of(utterances: Sequence[Utterance], category: str) -> int:
    return sum(category in utterance.categories for utterance in utterances)


def _worst_priority(baseline: Scores, policy: GatePolicy) -> tuple[str, Proportion] | None:
    """Return the priority category with the highest KER, and that with its rows."""
    groups = baseline.by("entity_category")
    shares = [
        (category, groups[category].keyword)
        for category in policy.priority
        if category in groups and groups[category].keyword.n
    ]
    return max(shares, key=lambda item: item[1].rate or 0.0, default=None)


def _shown(category: str, share: Proportion) -> str:
    """Say a category's KER with the rows that it rests on, which are not the manifest's."""
    return f"{category} KER is {share.rate:.3f} ({share.hits} of {share.unit} missed)"


def _passed_reason(evidence: GateInputs, policy: GatePolicy) -> Reason:
    worst = _worst_priority(evidence.baseline, policy) if evidence.baseline else None
    if worst is None:
        raise ValueError("a gate without a priority KER cannot have passed")
    category, share = worst
    ground = (
        f"above {policy.tune_above}"
        if (share.rate or 0.0) > policy.tune_above
        else "on a later evaluation of a manifest that has grown"
    )
    return Reason(
        Action.TUNE,
        neighbour_stages.FINETUNE,
        f"Tune: {_shown(category, share)}, {ground}. The manifest has "
        f"{len(evidence.utterances or ())} rows. Base {evidence.base.name}: {evidence.base.note}.",
    )


def _warnings(evidence: GateInputs) -> Iterable[str]:
    if evidence.base.cache_aware and evidence.base.status is Status.UNKNOWN:
        yield f"{evidence.base.name} is {evidence.base.note}."
    if evidence.base.is_multilingual:
        yield (
            f"{evidence.base.name} writes {len(evidence.base.languages)} languages. English is the "
            "default here: the recipe, the scores and the guardrail are English, and what tuning "
            f"costs the other languages is not measured. The English base is {RECOMMENDED}."
        )
    yield from evidence.base_notes
    if evidence.utterances is None or evidence.baseline is None:
        return
    yield from evidence.baseline_notes
    yield from coverage_warnings(
        evidence.utterances, evidence.baseline, evidence.left_out, evidence.transcribe
    )


def _figures(evidence: GateInputs, policy: GatePolicy) -> dict[str, object]:
    utterances, baseline = evidence.utterances, evidence.baseline
    figures: dict[str, object] = {"base": evidence.base.name, "cycle": evidence.cycle}
    if utterances is not None:
        figures["rows"] = len(utterances)
        figures["language"] = manifest_language(utterances)
    if baseline is not None:
        figures["baseline_rows"] = baseline.n
        figures["ker"] = baseline.ker
        figures["ipa_source"] = {
            source or "(none)": {**counted_n(group.keyword), "ker": group.ker}
            for source, group in baseline.by("ipa_source").items()
        }
    groups = baseline.by("entity_category") if baseline is not None else {}
    figures["priority"] = {
        category: {
            "rows": _rows_of(utterances or (), category),
            **(counted_n(groups[category].keyword) if category in groups else {"n": 0}),
            "ker": groups[category].ker if category in groups else None,
        }
        for category in policy.priority
    }
    return figures
