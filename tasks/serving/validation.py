"""Validate a served model on a cycle's folder: transcribe, compare, probe, attribute."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import soundfile

from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.common.shell_words import in_shell
from tasks.data.audio_checks import AudioLimits
from tasks.data.audio_probe import PCM_16, read_16_bits
from tasks.data.manifest import require_content
from tasks.data.preflight import preflight
from tasks.evaluation.result_reading import read_hypotheses
from tasks.models import decoder_targets
from tasks.models.nemo_archive import open_archive
from tasks.records import run_record
from tasks.serving import attribution, endpoint_transcription, parity, parity_report, probes
from tasks.serving.handoff_package import find_tuned
from tasks.serving.parity import THRESHOLDS, MismatchKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.data.preflight import CheckedRow
    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.models.nemo_archive import NemoArchive
    from tasks.serving.parity import ParityRow
    from tasks.serving.riva_client import Client

_USUAL_RATE = 16000


@dataclass(frozen=True, slots=True)
class ValidationPlan:
    """The two sides of a comparison.

    Attributes:
        cycle: whose recordings are sent.
        rows: of it that are sent, checked.
        offline: path of the offline evaluation.
        model: the .nemo that is to be served, if it is known.
    """

    cycle: Cycle
    rows: tuple[CheckedRow, ...]
    offline: Path
    model: NemoArchive | None

    @property
    def folder(self) -> Path:
        """The folder of the results: beside the offline evaluation."""
        return self.offline.parent

    @property
    def flag(self) -> str:
        """The decoder that riva-build was told; "" where the model is not known."""
        return "" if self.model is None else decoder_targets.target(self.model.decoder).flag

    @property
    def sample_rate(self) -> int:
        """Hz, the model's, or the usual one where the model is not here."""
        return _USUAL_RATE if self.model is None else self.model.sample_rate


def find_offline(cycle: Cycle, offline: Path | None) -> Path:
    """Find the offline evaluation, and see that the cycle has a manifest; asks nobody.

    Raises:
        InputError: one of them is not there.
    """
    if offline is None:
        tuned = cycle.next.offline_hyps if run_record.is_complete(cycle.next) else None
        offline = tuned or cycle.offline_hyps
    require_content(cycle.manifest)
    if not offline.is_file():
        raise InputError(
            f"{offline}: there is no offline evaluation to compare with. Fix: "
            f"`asr-flywheel transcribe {in_shell(cycle.path)} --model MODEL`, or name one with "
            f"{name_of('offline')}."
        )
    return offline


def plan(
    cycle: Cycle,
    *,
    offline: Path | None = None,
    model: Path | None = None,
    audio_roots: Sequence[Path] = (),
) -> ValidationPlan:
    """Find the offline evaluation and check the recordings; nothing is sent.

    Without ``offline``, it is the evaluation of the model that was tuned on the cycle, else the
    cycle's own.

    Raises:
        InputError: there is none, or a recording cannot be sent; lists every such row.
    """
    offline = find_offline(cycle, offline)
    archive = None if model is None else open_archive(model)
    if archive is None:
        with suppress(InputError):  # the model may be elsewhere; then less is known
            archive = open_archive(find_tuned(cycle).model)
    rate = _USUAL_RATE if archive is None else archive.sample_rate
    checked = preflight(cycle.manifest, AudioLimits(rate, tuple(audio_roots), 0.0, math.inf), None)
    checked.raise_errors()
    return ValidationPlan(cycle, checked.rows, offline, archive)


def compare(
    plan: ValidationPlan,
    client: Client,
    served: endpoint_transcription.Served,
    *,
    probing: bool = True,
    report: Callable[[str], None] = lambda _: None,
) -> parity_report.ParityReport:
    """Compare what was served with the offline evaluation, and say why they differ.

    Raises:
        InputError: the two have no row in common.
        ServingError: the endpoint does not answer a probe.
    """
    offline = read_hypotheses(plan.offline)
    served_rows = read_hypotheses(plan.folder / endpoint_transcription.SERVED_NAME)
    by_audio = {
        row.utterance.audio_filepath: (row, result)
        for row, result in zip(plan.rows, served.heard, strict=True)
    }

    def facts(audio: str) -> tuple[float, float, bool]:
        row, result = by_audio[audio]
        converted = soundfile.info(str(row.audio)).subtype != PCM_16
        return row.utterance.duration or 0.0, result.audio_seconds, converted

    comparison = parity.compare(offline, served_rows, facts)
    outcomes: tuple[probes.ProbeResult, ...] = ()
    odd = [row for row in comparison.of(MismatchKind.WORDS) if row.words]
    telling = len(odd) >= THRESHOLDS.systematic * len(comparison.different)
    odd = odd[: THRESHOLDS.probed]
    if probing and telling and len(odd) >= THRESHOLDS.least_probed:
        report(f"probing with {counted(len(odd), 'row')}")
        outcomes = _run_probes(odd, by_audio, client)
    models = client.served()
    evidence = attribution.ServingEvidence(
        probes=outcomes,
        served_models=models,
        flag=plan.flag,
        sample_rate=plan.sample_rate,
        others=_read_other_models(plan, offline),
    )
    compared = [row.offline for row in comparison.rows]
    return parity_report.ParityReport(
        cycle=plan.cycle.number,
        endpoint=client.endpoint.as_dict(),
        comparison=comparison,
        causes=attribution.attribute(comparison, evidence),
        offline=tuple(compared),
        served=tuple(
            replace(row, hyp=compared_row.served)
            for row, compared_row in zip(compared, comparison.rows, strict=True)
        ),
        probes=outcomes,
        served_models=models,
        asked=served.asked,
        attempts=served.attempts,
    )


def _run_probes(
    odd: Sequence[ParityRow], by_audio: Mapping[str, tuple[CheckedRow, Any]], client: Client
) -> tuple[probes.ProbeResult, ...]:
    def audio(row: ParityRow) -> tuple[probes.Samples, int]:
        checked, _ = by_audio[row.audio]
        return read_16_bits(checked.audio)

    def ask(samples: probes.Samples, rate: int, label: str) -> str:
        return client.recognise(samples.tobytes(), rate, label).text

    return probes.run(odd, audio, ask)


def _read_other_models(
    plan: ValidationPlan, offline: Sequence[Hypothesis]
) -> dict[str, dict[str, str]]:
    """Read the base's evaluation of the same rows, which a run leaves beside the tuned model's."""
    path = plan.folder / run_record.BASELINE_NAME
    if not path.is_file() or path == plan.offline:
        return {}
    recordings = {row.audio_filepath for row in offline}
    base = {row.audio_filepath: row.hyp for row in read_hypotheses(path)}
    return {
        f"the base ({run_record.BASELINE_NAME})": {k: v for k, v in base.items() if k in recordings}
    }
