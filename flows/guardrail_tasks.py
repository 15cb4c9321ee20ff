"""The flow's tasks that look for harm: general English, short and joined, and silence."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import artifacts, resolve_parameters
from flows.cycle_run import CycleRun
from flows.transcription_tasks import JudgedTranscripts, Transcripts, joined_rows
from tasks.common import atomic_files
from tasks.data.general_english import GeneralSet
from tasks.data.nonspeech import NonspeechRecording
from tasks.data.preflight import PreflightResult
from tasks.decision.guardrail import Guardrail, check_guardrail
from tasks.decision.harm_check import HarmCheck
from tasks.decision.joined_check import JoinedTexts, check_joined
from tasks.decision.nonspeech_check import NonspeechCheck, check_nonspeech
from tasks.decision.writing_check import check_writing
from tasks.evaluation.hypotheses import write_hypotheses
from tasks.evaluation.scoring import score
from tasks.records import run_record
from tasks.stages import prepare
from tasks.transcription.rows import hypotheses


@task(name="general-english", cache_policy=NO_CACHE)
def general_english(run: CycleRun, rows: PreflightResult) -> GeneralSet | None:
    """Check general English, and divide it: what guards, what chooses, what training uses."""
    config = run.config
    if run.general is None:
        return None
    general = prepare.general_set(
        run.general,
        run.base_model,
        resolve_parameters.full_recipe(config),
        rows,
        clinic=run.clinic,
        audio_roots=config.audio_roots,
        replay=resolve_parameters.replayed_sentences(config, len(rows.rows)),
        chooses=config.chooses_by_general,
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


@task(name="long-and-written", cache_policy=NO_CACHE)
def style_and_length(
    run: CycleRun, general: GeneralSet | None, judged: JudgedTranscripts
) -> tuple[HarmCheck, ...]:
    """Compare base and shipped model on joined sentences, and how they write; texts are kept."""
    if general is None:
        return ()
    rows = joined_rows(run, general)
    base, shipped = judged.joined
    atomic_files.write_jsonl(
        run.cycle.next.path / run_record.JOINED_NAME,
        (
            {
                "recording": row.name,
                "seconds": row.seconds,
                "duration": round(row.duration, 3),
                "ref": row.text,
                "base": before,
                "tuned": after,
            }
            for row, before, after in zip(rows, base, shipped, strict=True)
        ),
    )
    joined = check_joined(
        (
            JoinedTexts(row.seconds, row.texts, before, after)
            for row, before, after in zip(rows, base, shipped, strict=True)
        ),
        resolve_parameters.guardrail_policy(run.config),
    )
    scored = [score(hypotheses(general.guardrail, one)) for one in judged.general[:2]]
    return joined, check_writing(*scored)


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
    return check_nonspeech(
        base,
        shipped,
        {item.term for row in rows.rows for item in row.utterance.flagged},
        [recording.kind for recording in recordings],
    )
