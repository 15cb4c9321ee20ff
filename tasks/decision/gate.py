"""The gate: decide whether tuning is worth the GPU time (specification, rules 4 to 6; contracts).

A refusal is a verdict, not an error: it names its route. All reasons are collected, the most
fundamental first; the first one's action and route are the gate's.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import py3langid

from tasks.common import neighbour_stages
from tasks.common.errors import InputError
from tasks.data.canonical import canonical
from tasks.data.text_normalizer import normalise
from tasks.data.vocabularies import CATEGORIES
from tasks.evaluation.incremental_scoring import counted_n
from tasks.models.catalog import LEGACY_FALLBACK, RECOMMENDED, Base, Method, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.data.manifest import Utterance
    from tasks.decision.boosting_gate import BoostingAnswer
    from tasks.evaluation.scoring import Proportion, Scores

_LANGUAGE_SAMPLE_CHARS = 50_000
_SHORTEST_LANGUAGE_SAMPLE = 200
# Frequent words of English, and of German, French, Spanish, Italian, Portuguese, Dutch, Swedish and
# Polish as far as English clinical text lacks them. Words with accents and of other alphabets count
# beside the latter.
_ENGLISH_WORDS = "the of and with was for she he her his which to is at on by"
_FOREIGN_WORDS = """
    der das und ist nicht mit ein eine wird bei von zu le les et est une du pour dans avec
    el los las un una y es por del il di che non della sono o os da uma com para
    het een van voor en de och att som av ett si jest w z
"""
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_FOREIGN = frozenset(_FOREIGN_WORDS.split())
_FOREIGN_SHARE = 0.05
_GREEK = frozenset("αβγδεζηθικλμνξοπρστυφχψω")


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
class GatePolicy:
    """The thresholds; the defaults are the specification's.

    Attributes:
        priority: entity categories whose KER decides.
        tune_above: tuning is worth it above this KER, exclusive.
        harden_below: below this KER, exclusive, the evaluation is too easy.
        min_rows: rows that the manifest must have.
        min_priority_rows: rows that each priority category must have.
        min_source_rows: rows that a pronunciation source must have to be compared.
        good_pronunciation: a dictionary's rows are good at or under this KER.
        bad_pronunciation: guessed pronunciations are bad above this KER.
    """

    priority: tuple[str, ...] = ("drug",)
    tune_above: float = 0.3
    harden_below: float = 0.1
    min_rows: int = 100
    min_priority_rows: int = 5
    min_source_rows: int = 5
    good_pronunciation: float = 0.1
    bad_pronunciation: float = 0.3

    def __post_init__(self) -> None:
        if not self.priority:
            raise InputError("priority: name at least one category. Fix: --priority drug")
        for category in self.priority:
            if category not in CATEGORIES:
                raise InputError(
                    f"priority: {category!r} is not a category. "
                    f"Fix: use one of {', '.join(CATEGORIES)}."
                )
        if not 0 <= self.harden_below <= self.tune_above <= 1:
            raise InputError(
                f"gate policy: harden_below {self.harden_below} and tune_above {self.tune_above} "
                "contradict each other. Fix: 0 <= harden_below <= tune_above <= 1."
            )


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
        left_out: rows of the same file that the model was trained on or chosen by; they are no
            part of ``baseline``.
    """

    utterances: Sequence[Utterance] | None
    baseline: Scores | None
    base: Base
    method: Method = Method.SFT
    cycle: int = 1
    previous_rows: int | None = None
    baseline_notes: tuple[str, ...] = ()
    left_out: Scores | None = None


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
        return GateResult(False, tuple(refusals), warnings, figures)
    return GateResult(True, (_passed_reason(evidence, policy),), warnings, figures)


def _refusals(evidence: GateInputs, policy: GatePolicy) -> Iterable[Reason]:
    if evidence.utterances is None:
        yield Reason(
            Action.BUILD,
            neighbour_stages.BUILD,
            f"There is no manifest: build one first with {neighbour_stages.BUILD}.",
        )
    elif evidence.baseline is None:
        yield Reason(
            Action.EVALUATE,
            neighbour_stages.EVAL,
            f"There is no baseline: score the cycle first with {neighbour_stages.EVAL} "
            "(or `asr-flywheel transcribe`).",
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


def manifest_language(utterances: Sequence[Utterance]) -> str | None:
    """Return the manifest's language (ISO 639-1), from its ``lang`` fields or its text.

    None where there is too little text to tell.
    """
    field_languages = {
        str(utterance.extra.get("lang") or utterance.extra.get("language") or "").lower()[:2]
        for utterance in utterances
    } - {""}
    if others := sorted(field_languages - {"en"}):
        return others[0]
    if field_languages:
        return "en"
    sample = " ".join(utterance.text for utterance in utterances)[:_LANGUAGE_SAMPLE_CHARS]
    # Signs and digits are of no language: µ, °, ½, a dash or a curly apostrophe.
    sample = unicodedata.normalize("NFKC", sample)
    words = [word for word in sample.lower().split() if any(map(str.isalpha, word))]
    if sum(map(len, words)) + len(words) < _SHORTEST_LANGUAGE_SAMPLE:
        return None
    guess = str(py3langid.classify(" ".join(words))[0])
    if guess == "en":
        return guess
    # Drug names and shorthand look like many a language: a guess needs evidence to be believed.
    english = sum(word in _ENGLISH for word in words)
    foreign = sum(word in _FOREIGN or _has_foreign_letters(word) for word in words)
    return guess if foreign > max(english, _FOREIGN_SHARE * len(words)) else "en"


def _has_foreign_letters(word: str) -> bool:
    """Return whether a word has accents or letters of another alphabet.

    One Greek letter alone is a sign in clinical text: "µg", "β-blocker", "TNF-α".
    """
    letters = [char for char in word if char.isalpha() and not char.isascii()]
    return len(letters) > 1 or any(char not in _GREEK for char in letters)


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


@dataclass(frozen=True, slots=True)
class PronunciationGap:
    """Dictionary pronunciations are recognised, guessed ones are not (contracts, Routing)."""

    known: Proportion
    guessed: Proportion

    def __str__(self) -> str:
        return (
            f"merriam-webster rows are good (KER {self.known.rate:.3f}, n={self.known.n}) and "
            f"magpie_g2p rows are bad (KER {self.guessed.rate:.3f}, n={self.guessed.n})"
        )

    @property
    def advice(self) -> str:
        """The finding and its remedy."""
        return (
            f"A pronunciation gap, not a model gap: {self}. Give those terms a pronunciation: "
            f"{neighbour_stages.BUILD}, step 2d."
        )


def pronunciation_gap(scores: Scores, policy: GatePolicy) -> PronunciationGap | None:
    """Return the pronunciation gap if guessed pronunciations alone are misrecognised, else None."""
    sources = scores.by("ipa_source")
    if "merriam-webster" not in sources or "magpie_g2p" not in sources:
        return None
    dictionary, predicted = sources["merriam-webster"].keyword, sources["magpie_g2p"].keyword
    if dictionary.rate is None or predicted.rate is None:
        return None
    if min(dictionary.n, predicted.n) < policy.min_source_rows:
        return None
    if dictionary.rate <= policy.good_pronunciation and predicted.rate > policy.bad_pronunciation:
        return PronunciationGap(dictionary, predicted)
    return None


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
            f"score the whole manifest with {neighbour_stages.EVAL}.",
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
    if evidence.utterances is None or evidence.baseline is None:
        return
    yield from evidence.baseline_notes
    yield from _coverage_warnings(evidence.utterances, evidence.baseline, evidence.left_out)


def _coverage_warnings(
    utterances: Sequence[Utterance], baseline: Scores, left_out: Scores | None
) -> Iterable[str]:
    """Warn where the baseline's rows are not the manifest's, and say which and why."""
    texts = Counter(canonical(utterance.text) for utterance in utterances)
    judging = {canonical(row.row.ref) for row in baseline.rows}
    seen = {canonical(row.row.ref) for row in left_out.rows} if left_out is not None else set()
    known = sum(count for text, count in texts.items() if text in seen and text not in judging)
    missing = sum(count for text, count in texts.items() if text not in seen | judging)
    foreign = sum(canonical(row.row.ref) not in texts for row in baseline.rows)
    if known:
        yield (
            f"{known} of {len(utterances)} rows of the manifest are left out, since the model that "
            f"was evaluated was trained on them or chosen by them. KER rests on the other "
            f"{baseline.n} rows of the baseline; scoring it again would not change that."
        )
    if missing:
        yield (
            f"{missing} of {len(utterances)} rows of the manifest are not in the baseline: it may "
            f"be older than the manifest. Score it again with {neighbour_stages.EVAL}."
        )
    if unlisted := _rows_with_fewer_terms(utterances, baseline):
        yield (
            f"{unlisted} rows of the manifest list several terms, and the baseline's rows lack "
            "some of them, so that these count for no KER. Score the cycle again with "
            "`asr-flywheel transcribe`, or copy terms into the result's rows."
        )
    if foreign:
        yield (
            f"{foreign} of {baseline.n} rows of the baseline are no rows of this manifest. Score "
            f"this manifest with {neighbour_stages.EVAL}, or name its own result with --baseline."
        )


def _rows_with_fewer_terms(utterances: Sequence[Utterance], baseline: Scores) -> int:
    """Count the manifest's rows of several terms whose baseline row lacks one of them."""
    scored: dict[str, set[str]] = {}
    several = [utterance for utterance in utterances if utterance.terms]
    for row in baseline.rows if several else ():
        terms = {normalise(one.term) for one in row.occurrences}
        scored.setdefault(canonical(row.row.ref), set()).update(terms)
    return sum(
        not {normalise(item.term) for item in utterance.terms} <= scored[canonical(utterance.text)]
        for utterance in several
        if canonical(utterance.text) in scored
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
