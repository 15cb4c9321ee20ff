"""Choose the model that is shipped: a mixture of base and tuned model, by rows that do not judge.

The rule is in tasks/decision/mixture_choice.py, the rows in tasks/stages/choosing_rows.py. Here the
mixtures are decoded where NeMo runs, and the chosen one is put in its place:
``adapted_model.nemo``; the tuned model stays beside it as ``tuned_model.nemo``.
training_run_info.json, written last, names all of it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.common.schemas import Schema
from tasks.data.text_normalizer import normalise_term
from tasks.decision import mixture_choice
from tasks.decision.choice_rule import RULE, ChoiceRule
from tasks.decision.mixture_choice import Candidate, Choice
from tasks.evaluation.hypotheses import hypothesis_for
from tasks.evaluation.scoring import canonical_errors, score
from tasks.runtimes.base import ENTRY
from tasks.stages.choosing_rows import LEADS
from tasks.stages.shipped_model import ShippedModel
from tasks.training import run as training_run
from tasks.transcription import mixtures
from tasks.transcription.mixtures import ChoosingAudio, MixturesWanted
from tasks.transcription.rows import audio_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tasks.data.preflight import CheckedRow
    from tasks.evaluation.scoring import UtteranceScore
    from tasks.runtimes.base import Runtime
    from tasks.stages.choosing_rows import ChoosingRows
    from tasks.training.run import SftResult
    from tasks.transcription.mixtures import Texts

Interpolate = Literal["auto", "off"] | float
"""How a model is shipped: the chosen mixture, the tuned model as it is, or a given value."""

_GENERAL = "general"
_CHOOSING = ("interpolate", "priority", "general")


@dataclass(frozen=True, slots=True)
class ChoiceRequest:
    """A choice of what is shipped.

    Attributes:
        base: the .nemo that was tuned.
        tuned: the finished training.
        rows: that choose.
        interpolate: auto, off, or a value of its own.
        rule: the numbers of the choice.
    """

    base: Path
    tuned: SftResult
    rows: ChoosingRows
    interpolate: Interpolate
    rule: ChoiceRule = RULE

    @property
    def place(self) -> Path:
        """The path of the shipped model."""
        return self.tuned.info.with_name(training_run.MODEL_NAME)

    @property
    def mixture(self) -> Path:
        """The path of the mixture until it is put in its place."""
        return self.tuned.info.with_name(".mixture.nemo")

    @property
    def key(self) -> str:
        """The fingerprint: two choices that share it ship the same mixture."""
        programs = [hashing.sha256_file(ENTRY / name) for name in mixtures.PROGRAMS]
        models = [hashing.sha256(self.base), self.tuned.model_sha256]
        parts: list[Any] = [*models, str(self.interpolate), programs]
        if self.interpolate == "auto":
            policy = self.rows.policy
            limits = [policy.absolute, policy.weak_base, policy.relative]
            priority = sorted(self.rows.priority)
            parts += [self.rows.content(), priority, limits, repr(self.rule), list(LEADS)]
        return hashing.fingerprint(parts)

    @property
    def settled(self) -> Choice | None:
        """The choice where no row is asked; None where rows choose."""
        if self.interpolate == "off":
            return mixture_choice.fixed_choice(1.0)
        if self.interpolate != "auto":
            return mixture_choice.fixed_choice(float(self.interpolate))
        if not mixture_choice.enough_rows(self.rows.counts, self.rows.priority, self.rule):
            return mixture_choice.stated_choice(self.rows.counts, self.rule)
        return None


def ship(
    request: ChoiceRequest,
    runtime: Runtime,
    report: Callable[[str], None] = lambda _: None,
    *,
    holding: AbstractContextManager[object] | None = None,
) -> ShippedModel:
    """Choose a mixture and put it in its place; a choice that was made from the same is found.

    Args:
        request: what is chosen from, and by what.
        runtime: where mixtures are made and decoded.
        report: is called with lines for a person.
        holding: is entered while the runtime works.

    Raises:
        InputError: the mixture is another one than before, and its tuned model was not kept.
        TranscriptionError: the models cannot be mixed, or decoding failed.
    """
    tuned = request.tuned
    info = training_run.read_info(tuned.info)
    if (found := _find_shipped(request, info)) is not None:
        return found
    if not tuned.model.is_file():
        raise InputError(
            f"{tuned.info.parent}: holds a mixture that was chosen otherwise, and its tuned model "
            "was not kept. Fix: rename the folder, so that it is trained again, or run with the "
            f"settings of before ({', '.join(map(name_of, _CHOOSING))})."
        )
    dialogue = _Dialogue(request)
    seconds: dict[float, float] = {}
    with holding or nullcontext():
        if dialogue.chosen is None:
            sets = _choosing_audio(request.rows)
            seconds = mixtures.decode_mixtures(
                request.base, tuned.model, sets, request.mixture, runtime, dialogue.answer, report
            )
        elif dialogue.chosen.value < 1:
            value = dialogue.chosen.value
            mixtures.write_mixture(request.base, tuned.model, value, request.mixture, runtime)
    if dialogue.chosen is None:
        raise AssertionError("the job ended without a choice")
    return _publish(request, info, dialogue.chosen, seconds)


def _find_shipped(request: ChoiceRequest, info: Mapping[str, Any]) -> ShippedModel | None:
    shipping = info.get("shipping") or {}
    sha256 = str(info.get("model_sha256"))
    if shipping.get("key") != request.key or not request.place.is_file():
        return None
    if hashing.sha256(request.place) != sha256:
        return None
    tuned = request.tuned
    kept = tuned.model if tuned.model.is_file() else None
    return ShippedModel(request.place, sha256, shipping, kept, tuned.model_sha256, reused=True)


class _Dialogue:
    """What the decoding job is answered; see tasks/transcription/mixtures.py."""

    def __init__(self, request: ChoiceRequest) -> None:
        self._rows, self._rule = request.rows, request.rule
        self.chosen = request.settled
        self._refined = 0

    def answer(self, texts: Mapping[float, Texts]) -> MixturesWanted:
        """Say what is decoded next, or shipped."""
        if not texts:
            # The base tells how much general English it loses.
            return MixturesWanted(
                values=(*((0.0,) if self._rows.general else ()), *self._rule.coarse)
            )
        candidates = [_candidate(value, of_value, self._rows) for value, of_value in texts.items()]
        base = next((c.general_wer for c in candidates if c.value == 0), None)
        limit = self._rows.policy.limit(base or 0.0)
        if self._refined < self._rule.refinements:
            self._refined += 1
            if values := mixture_choice.refine(candidates, limit, self._rule):
                return MixturesWanted(values=tuple(values))
        self.chosen = mixture_choice.choose(candidates, limit, self._rule)
        return MixturesWanted(ship=self.chosen.value)


def _choosing_audio(rows: ChoosingRows) -> list[ChoosingAudio]:
    sets = [
        ChoosingAudio(f"selection/{lead}", audio_set(rows.selection, rows.roots), lead)
        for lead in LEADS
    ]
    if rows.general:
        sets.append(ChoosingAudio(_GENERAL, audio_set(rows.general, rows.roots)))
    return sets


def _candidate(value: float, texts: Texts, rows: ChoosingRows) -> Candidate:
    """Score a mixture's texts on the rows that choose."""
    missed: Counter[tuple[int, str]] = Counter()
    for lead in LEADS:
        for place, scored in enumerate(_scores(rows.selection, texts[f"selection/{lead}"])):
            for one in scored.occurrences:
                if one.category in rows.priority:
                    missed[place, normalise_term(one.term)] += one.missed
    several = len({place for place, _ in missed}) < len(missed)
    # As the guardrail counts them: another spelling of the same words is no error.
    general = [canonical_errors(row) for row in _scores(rows.general, texts.get(_GENERAL, ()))]
    return Candidate(
        value,
        tuple(count / len(LEADS) for count in missed.values()),
        tuple(term for _, term in missed),
        tuple(edits for edits, _ in general),
        tuple(words for _, words in general),
        tuple(place for place, _ in missed) if several else (),
    )


def _scores(rows: Sequence[CheckedRow], texts: Sequence[str]) -> tuple[UtteranceScore, ...]:
    return score(
        hypothesis_for(row.utterance, text) for row, text in zip(rows, texts, strict=True)
    ).rows


def _publish(
    request: ChoiceRequest, info: Mapping[str, Any], chosen: Choice, seconds: Mapping[float, float]
) -> ShippedModel:
    """Put the shipped model in its place; the record, written last, completes it."""
    tuned, place = request.tuned, request.place
    beside = place.with_name(training_run.TUNED_NAME)
    plain = tuned.model
    if chosen.value < 1:
        if plain == place:
            atomic_files.link(place, beside)
            plain = beside
        sha256 = hashing.sha256_file(request.mixture)
        request.mixture.replace(place)
    else:
        request.mixture.unlink(missing_ok=True)
        sha256 = tuned.model_sha256
        if plain != place:
            plain.replace(place)
            plain = place
    hashing.record_hash(place, sha256)
    shipping = {
        "key": request.key,
        "mixed": chosen.value < 1,
        "base_sha256": hashing.sha256(request.base),
        "tuned_sha256": tuned.model_sha256,
        "seconds": round(sum(seconds.values()), 1),
        **chosen.as_dict(),
    }
    atomic_files.write_json(
        tuned.info, Schema.TRAINING.mark({**info, "model_sha256": sha256, "shipping": shipping})
    )
    return ShippedModel(place, sha256, shipping, plain, tuned.model_sha256)
