"""The flow's tasks that look for harm: general English, and recordings without speech."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import artifacts, resolve_parameters
from flows.cycle_run import CycleRun
from tasks.common import atomic_files
from tasks.data.general_english import GeneralSet
from tasks.data.nonspeech import NonspeechRecording
from tasks.data.preflight import PreflightResult
from tasks.decision.guardrail import Guardrail, check_guardrail
from tasks.decision.nonspeech_check import NonspeechCheck, check_nonspeech
from tasks.evaluation.hypotheses import write_hypotheses
from tasks.evaluation.scoring import score
from tasks.records import run_record
from tasks.stages import prepare
from tasks.transcription.offline import Transcript
from tasks.transcription.rows import hypotheses

Transcripts = tuple[Transcript, ...]
"""The transcripts of one set: by the base, by the shipped model, and, where that is a mixture and
the tuned model was kept, by the tuned model as training left it."""


@dataclass(frozen=True)
class JudgedTranscripts:
    """What a model is judged on, decoded by each model.

    Attributes:
        cycle: the cycle's rows.
        general: the sentences that guard; no hypotheses without a set.
        nonspeech: the recordings without speech; no hypotheses where they were not decoded.
    """

    cycle: Transcripts
    general: Transcripts
    nonspeech: Transcripts


@task(name="general-english", cache_policy=NO_CACHE)
def general_english(run: CycleRun, rows: PreflightResult) -> GeneralSet | None:
    """Check general English, and divide it: sentences that guard, choose, and are replayed."""
    config = run.config
    if run.general is None:
        return None
    general = prepare.general_set(
        run.general,
        run.base_model,
        resolve_parameters.full_recipe(config),
        rows,
        audio_roots=config.audio_roots,
        replay=resolve_parameters.replayed_sentences(config, len(rows.rows)),
        chooses=config.chooses_mixture,
        keep_style=config.keep_style,
    )
    artifacts.general(general)
    return general


@task(name="guardrail", cache_policy=NO_CACHE)
def guardrail(
    run: CycleRun, general: GeneralSet | None, transcripts: Transcripts
) -> tuple[Guardrail, ...]:
    """Hold the loss of general English against the limit; base's and shipped model's rows are kept.

    Returns:
        The shipped model's guardrail, and that of the plain tuned model where it was decoded;
        nothing without general English.
    """
    if general is None:
        return ()
    before, *after = (hypotheses(general.guardrail, transcript) for transcript in transcripts)
    for name, rows in zip(run_record.GENERAL_NAMES, (before, after[0]), strict=True):
        write_hypotheses(run.cycle.next.path / name, rows)
    policy = resolve_parameters.guardrail_policy(run.config)
    base = score(before)
    return tuple(
        check_guardrail(base, score(rows), policy, synthetic=general.synthetic) for rows in after
    )


@task(name="silence-and-noise", cache_policy=NO_CACHE)
def nonspeech(
    run: CycleRun,
    rows: PreflightResult,
    recordings: tuple[NonspeechRecording, ...],
    transcripts: Transcripts,
) -> NonspeechCheck:
    """Compare what base and shipped model find where nobody speaks; both texts are kept."""
    base, shipped = (transcript.hypotheses for transcript in transcripts[:2])
    atomic_files.write_jsonl(
        run.cycle.next.path / run_record.NONSPEECH_NAME,
        (
            {
                "recording": recording.audio.name,
                "kind": recording.kind,
                "duration": recording.seconds,
                "base": before,
                "tuned": after,
            }
            for recording, before, after in zip(recordings, base, shipped, strict=True)
        ),
    )
    return check_nonspeech(base, shipped, {row.utterance.term or "" for row in rows.rows})
