"""Attribute differences of served and offline texts: cause, evidence, remedy and route.

A cause is named only where something speaks for it: the kind of difference, a probe that holds, a
correlation with the files, what the endpoint says of itself, or that another model's evaluation is
what it answers. Where nothing does, that is what the report says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common.counted import agreed, counted
from tasks.data.text_normalizer import normalise
from tasks.serving.causes import Cause, CauseName
from tasks.serving.parity import THRESHOLDS, MismatchKind, ParityComparison, ParityRow, Thresholds
from tasks.serving.probes import ProbeCause, ProbeResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_OFFLINE = "offline"
"""What a Riva server calls the ``type`` of such a model; a streaming one is ``online``."""
_DECODER_KEYS = ("decoder", "decoder_type")
_SAME_DECODER = {
    "greedy": "greedy",
    "greedy_ctc": "greedy",
    "nemo": "nemo",
    "flashlight": "flashlight",
    "os2s": "os2s",
    "pass_through": "pass_through",
}
"""The values of riva-build's decoder flag, old and new; those that mean the same have one value."""
_SPEAKS_FOR = {
    ProbeCause.SAMPLE_RATE: CauseName.SAMPLE_RATE,
    ProbeCause.CONVERSION: CauseName.CONVERSION,
}


@dataclass(frozen=True, slots=True)
class ServingEvidence:
    """Everything that a cause can rest on besides the rows.

    Attributes:
        probes: what the probes found; () if none was sent.
        served_models: what the endpoint says that it serves.
        flag: riva-build's right decoder flag, or "" if the model's decoder is not known.
        sample_rate: the model's, in Hz; 0 if not known.
        others: evaluations of the same rows by other models: by name, texts by the audio file of
            the offline row.
    """

    probes: Sequence[ProbeResult] = ()
    served_models: Sequence[Mapping[str, Any]] = ()
    flag: str = ""
    sample_rate: int = 0
    others: Mapping[str, Mapping[str, str]] | None = None


def attribute(
    comparison: ParityComparison, evidence: ServingEvidence, thresholds: Thresholds = THRESHOLDS
) -> tuple[Cause, ...]:
    """Return the causes of a difference, those that change words first; () if there is none."""
    return (*_Reasoning(comparison, evidence, thresholds).causes(),)


@dataclass(frozen=True, slots=True)
class _Reasoning:
    comparison: ParityComparison
    evidence: ServingEvidence
    limits: Thresholds

    def causes(self) -> Iterable[Cause]:
        same_said = (MismatchKind.NUMBERS, MismatchKind.SPELLING)
        unexplained = [row for row in self.comparison.different if row.kind not in same_said]
        for look in (self._find_symbols, self._find_silence, self._find_truncation):
            cause, explained = look(unexplained)
            if cause is not None:
                yield cause
                unexplained = [row for row in unexplained if row not in explained]
        if unexplained:
            yield self._attribute_words(unexplained)
        if numbers := self.comparison.of(MismatchKind.NUMBERS):
            says = f"in {len(numbers)} rows words differ only where the service writes digits"
            yield Cause(CauseName.NUMBERS, len(numbers), (says,))
        if spelled := self.comparison.of(MismatchKind.SPELLING):
            yield Cause(CauseName.SPELLING, len(spelled), (_spelling_evidence(spelled),))
        if style := self.comparison.of(MismatchKind.STYLE):
            yield Cause(CauseName.STYLE, len(style), (_style_evidence(style),))

    def _find_symbols(
        self, unexplained: Sequence[ParityRow]
    ) -> tuple[Cause | None, Sequence[ParityRow]]:
        """Attribute rows to a wrong decoder if its own symbols are in the text of most rows."""
        rows = [row for row in unexplained if row.kind is MismatchKind.ARTEFACT]
        if not rows or len(rows) < self.limits.systematic * len(unexplained):
            return None, ()
        # Where most rows hold symbols, another build's decoder made the other words too.
        explained = [
            row for row in unexplained if row.kind in (MismatchKind.ARTEFACT, MismatchKind.WORDS)
        ]
        says = (
            f"{counted(len(rows), 'row')} {agreed(len(rows), 'holds', 'hold')} raw symbols or "
            f"repeated pieces: {rows[0].served[:60]!r}"
        )
        return Cause(
            CauseName.DECODER, len(explained), (says, *self._declared_decoder())
        ), explained

    def _find_silence(
        self, unexplained: Sequence[ParityRow]
    ) -> tuple[Cause | None, Sequence[ParityRow]]:
        """Attribute rows to a wrong decoder if most speech comes back empty."""
        spoken = [row for row in self.comparison.rows if row.words]
        empty = [row for row in unexplained if row.words and not row.served.strip()]
        if not empty or len(empty) < self.limits.systematic * len(spoken):
            return None, ()
        says = f"{len(empty)} of {counted(len(spoken), 'row')} with speech came back empty"
        return Cause(CauseName.DECODER, len(empty), (says, *self._declared_decoder())), empty

    def _find_truncation(
        self, unexplained: Sequence[ParityRow]
    ) -> tuple[Cause | None, Sequence[ParityRow]]:
        """Attribute rows to truncation if they lack their end or their beginning."""
        cut = [row for row in unexplained if row.kind is MismatchKind.CUT]
        short = [
            row
            for row in unexplained
            if row.heard_seconds and row.heard_seconds < self.limits.short_audio * row.seconds
        ]
        if not short and (not cut or len(cut) < self.limits.systematic * len(unexplained)):
            return None, ()
        # Where most rows are cut, one that is shorter and heard otherwise too was cut as well.
        explained = [row for row in unexplained if row in cut or row in short or _is_shorter(row)]
        lost_words = sum(
            max(row.words - len(normalise(row.served).split()), 0) for row in explained
        )
        evidence = [
            (
                f"{len(explained)} of {counted(len(unexplained), 'differing row')} "
                f"{agreed(len(explained), 'lacks', 'lack')} {counted(lost_words, 'word')} at one "
                "end"
            )
        ]
        if short:
            evidence.append(
                f"the service says that it processed only a part of {counted(len(short), 'row')}"
            )
        return Cause(CauseName.TRUNCATION, len(explained), tuple(evidence)), explained

    def _asked_models(self) -> Sequence[Mapping[str, Any]]:
        """Return the models that can have answered: an offline request names none."""
        return [
            model
            for model in self.evidence.served_models
            if model["parameters"].get("type", _OFFLINE) == _OFFLINE
        ]

    def _declared_decoder(self) -> Sequence[str]:
        """Return what the endpoint says of its decoder, if it is known to be a wrong one.

        Several models of one endpoint tell something only where all of them tell the same.
        """
        expected = self.evidence.flag.partition("=")[2]
        declared = {
            (name, value)
            for model in self._asked_models()
            for name, value in _decoder_parameters(model)
        }
        decoders = {_SAME_DECODER.get(value) for _, value in declared}
        silent = any(not _decoder_parameters(model) for model in self._asked_models())
        if (
            not expected
            or silent
            or len(decoders) != 1
            or decoders <= {None, _SAME_DECODER.get(expected)}
        ):
            return ()
        return [
            f"the endpoint says {name}={value}; the hand-off's build has decoder={expected}"
            for name, value in sorted(declared)
        ]

    def _attribute_words(self, rows: Sequence[ParityRow]) -> Cause:
        """Attribute rows whose words differ without a pattern of their own."""
        for look in (self._find_known_model, self._find_by_probes, self._find_conversion):
            if cause := look(rows):
                return cause
        share = len(rows) / len(self.comparison.rows)
        summary = f"words differ in {len(rows)} of {counted(len(self.comparison.rows), 'row')}"
        words = f"{self.comparison.word_difference:.1%} of the words"
        if (
            share <= self.limits.tolerated_rows
            and self.comparison.word_difference <= self.limits.tolerated_words
        ):
            return Cause(CauseName.PRECISION, len(rows), (f"{summary}, {words}",))
        if declared := self._declared_decoder():
            return Cause(CauseName.DECODER, len(rows), (f"{summary}, {words}", *declared))
        if share >= self.limits.systematic:
            evidence = [f"{summary}, {words}, without a pattern"]
            if self.evidence.probes:
                evidence.append("no change of the audio brings the offline text back")
            return Cause(CauseName.OTHER_MODEL, len(rows), tuple(evidence))
        return Cause(CauseName.UNEXPLAINED, len(rows), (f"{summary}, {words}",))

    def _find_known_model(self, rows: Sequence[ParityRow]) -> Cause | None:
        """Attribute rows to another model if the texts are those of its evaluation."""
        for name, texts in (self.evidence.others or {}).items():
            evaluated = [row for row in rows if row.offline.audio_filepath in texts]
            same = [
                row
                for row in evaluated
                if normalise(texts[row.offline.audio_filepath]) == normalise(row.served)
            ]
            if evaluated and len(same) >= self.limits.explained * len(evaluated):
                says = (
                    f"{len(same)} of {counted(len(evaluated), 'differing row')} "
                    f"{agreed(len(same), 'is', 'are')} word by word those of "
                    f"{name}"
                )
                return Cause(CauseName.BASE, len(rows), (says,))
        return None

    def _find_by_probes(self, rows: Sequence[ParityRow]) -> Cause | None:
        """Attribute rows by the probe that leaves least of the difference, if it leaves little."""
        results = [
            result for result in self.evidence.probes if result.tried >= self.limits.least_probed
        ]
        for result in results:
            if result.probe.finds is ProbeCause.STEADY and result.edits:
                says = (
                    f"{counted(result.tried, 'row')} {agreed(result.tried, 'was', 'were')} sent "
                    f"twice, and {counted(result.edits, 'word')} "
                    f"{agreed(result.edits, 'differs', 'differ')}"
                )
                return Cause(CauseName.UNSTEADY, len(rows), (says,))
        control = [result for result in results if result.probe.finds is ProbeCause.CONTROL]
        deaf = any(
            result.heard_share < self.limits.least_heard or result.worse < self.limits.noticed
            for result in control
        )
        holding = [
            result
            for result in results
            if result.probe.finds in _SPEAKS_FOR and self._probe_holds(result)
        ]
        restoring = sorted((o for o in holding if o.probe.restores), key=lambda result: result.left)
        # Of two bands that go unnoticed alike the wider says more; it comes first.
        unnoticed = sorted(
            (o for o in holding if not o.probe.restores), key=lambda result: result.worse
        )
        if not restoring and (deaf or not unnoticed):
            return None
        best = (restoring or unnoticed)[0]
        effect = "brings the offline text back" if best.probe.restores else "makes nothing worse"
        says = (
            f"probe {best.probe.name!r} {effect}: {counted(best.difference, 'word')} differed on "
            f"{best.tried} rows, {best.edits} do with it; {best.probe.says}"
        )
        evidence = (says, *self._declared_rates())
        return Cause(_SPEAKS_FOR[best.probe.finds], len(rows), evidence)

    def _probe_holds(self, result: ProbeResult) -> bool:
        if result.probe.restores:
            return result.left <= self.limits.probe_left
        return result.worse <= self.limits.unnoticed

    def _declared_rates(self) -> Iterable[str]:
        for model in self._asked_models():
            rate = str(model["parameters"].get("sample_rate", ""))
            if rate and self.evidence.sample_rate and rate != str(self.evidence.sample_rate):
                yield f"the endpoint says {rate} Hz, the model has {self.evidence.sample_rate}"

    def _find_conversion(self, rows: Sequence[ParityRow]) -> Cause | None:
        """Attribute rows to conversion if the files of just those rows had to be converted."""
        converted = [row for row in self.comparison.rows if row.converted]
        others = [row for row in self.comparison.rows if not row.converted]
        if len(converted) < self.limits.least_probed or not others:
            return None
        bad = sum(row.converted for row in rows)
        rest_differing = len(rows) - bad
        if bad < self.limits.systematic * len(
            converted
        ) or rest_differing > self.limits.tolerated_rows * len(others):
            return None
        says = (
            f"{bad} of {len(converted)} rows whose files are not 16-bit PCM differ, and "
            f"{rest_differing} of the {len(others)} others"
        )
        return Cause(CauseName.CONVERSION, len(rows), (says,))


def _decoder_parameters(model: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Return name and value of the decoder's parameters, by their exact names alone."""
    parameters = model["parameters"]
    return [(name, parameters[name]) for name in _DECODER_KEYS if parameters.get(name)]


def _is_shorter(row: ParityRow) -> bool:
    return len(normalise(row.served).split()) < row.words


def _spelling_evidence(rows: Sequence[ParityRow]) -> str:
    return (
        f"{counted(len(rows), 'row')} {agreed(len(rows), 'says', 'say')} the same in another "
        f"spelling, such as {rows[0].offline.hyp[:60]!r} and {rows[0].served[:60]!r}"
    )


def _style_evidence(rows: Sequence[ParityRow]) -> str:
    casing = sum(row.offline.hyp.casefold() == row.served.casefold() for row in rows)
    return (
        f"{counted(len(rows), 'row')} {agreed(len(rows), 'has', 'have')} the same words; {casing} "
        f"differ in casing alone, {len(rows) - casing} in punctuation too"
    )
