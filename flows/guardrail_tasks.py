"""The guardrail's tasks of the flow: general English, checked before and decoded after."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import artifacts, resolve_parameters
from flows.cycle_run import CycleRun
from tasks.data.general_english import GeneralSet
from tasks.data.preflight import PreflightResult
from tasks.decision.guardrail import Guardrail, check_guardrail
from tasks.evaluation.hypotheses import write_hypotheses
from tasks.evaluation.scoring import score
from tasks.records import run_record
from tasks.stages import prepare
from tasks.transcription.offline import Transcript
from tasks.transcription.rows import hypotheses

TranscriptPair = tuple[Transcript, Transcript]
"""The transcripts of one set by base and tuned model."""


@task(name="general-english", cache_policy=NO_CACHE)
def general_english(run: CycleRun, rows: PreflightResult) -> GeneralSet | None:
    """Check the guardrail's sentences, and choose those that are replayed in training."""
    config = run.config
    if config.general is None:
        return None
    general = prepare.general_set(
        config.general,
        run.base_model,
        resolve_parameters.full_recipe(config),
        rows,
        audio_roots=config.audio_roots,
        replay=resolve_parameters.replayed_sentences(config, len(rows.rows)),
        keep_style=config.keep_style,
    )
    artifacts.general(general)
    return general


@task(name="guardrail", cache_policy=NO_CACHE)
def guardrail(
    run: CycleRun, general: GeneralSet | None, transcripts: TranscriptPair
) -> Guardrail | None:
    """Hold the loss of general English against the limit; both models' rows are kept."""
    if general is None:
        return None
    before, after = (hypotheses(general.guardrail, transcript) for transcript in transcripts)
    for name, rows in zip(run_record.GENERAL_NAMES, (before, after), strict=True):
        write_hypotheses(run.cycle.next.path / name, rows)
    return check_guardrail(
        score(before), score(after), resolve_parameters.guardrail_policy(run.config)
    )
