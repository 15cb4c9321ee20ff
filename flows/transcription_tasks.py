"""The task that decodes all that judges a model, and which recordings and models these are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import artifacts, console, gpu_slots, transcribe_shards
from flows.cycle_run import CycleRun
from tasks.common.counted import counted
from tasks.common.parameter_names import assignment
from tasks.common.work_folders import work_folder
from tasks.data import joined_sentences
from tasks.data.joined_sentences import ROWS_ON_CPU, ROWS_ON_GPU, JoinedRow
from tasks.stages import evaluate
from tasks.transcription import offline
from tasks.transcription.audio_sets import AudioSet, Transcript
from tasks.transcription.hypothesis_cache import TranscriptStore
from tasks.transcription.rows import audio_set, joined_set, nonspeech_set
from tasks.transcription.variants import AS_IT_IS, Shifts

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from tasks.data.general_english import GeneralSet
    from tasks.data.nonspeech import NonspeechRecording
    from tasks.data.preflight import PreflightResult
    from tasks.stages.shipped_model import ShippedModel

Transcripts = tuple[Transcript, ...]
"""The transcripts of one set: by the base, by the shipped model, and, where that is a mixture, by
the tuned model as training left it."""


@dataclass(frozen=True)
class JudgedTranscripts:
    """What a model is judged on, decoded by each model.

    Attributes:
        cycle: the cycle's rows.
        general: the sentences that guard; no hypotheses without a set.
        nonspeech: the recordings without speech; no hypotheses where they were not decoded.
        joined: of joined sentences of general English, by base and shipped model.
    """

    cycle: Transcripts
    general: Transcripts
    nonspeech: Transcripts
    joined: tuple[tuple[str, ...], ...] = ()


def models_to_judge(shipped: ShippedModel) -> tuple[Path, ...]:
    """Return the shipped model, and the plain tuned one where that is another.

    The latter is no file where a former run has discarded it; see ``discarded_model``.
    """
    return (shipped.model, shipped.plain) if shipped.mixed else (shipped.model,)


def discarded_model(shipped: ShippedModel) -> dict[Path, str]:
    """Return the SHA-256 of the plain tuned model, where a former run has discarded its file."""
    return {shipped.plain: shipped.tuned_sha256} if shipped.mixed and not shipped.tuned else {}


def transcribe_models(
    run: CycleRun,
    rows: PreflightResult,
    general: GeneralSet | None,
    tuned: tuple[Path, ...],
    recordings: tuple[NonspeechRecording, ...] = (),
    *,
    shifts: Shifts = AS_IT_IS,
    judging: Container[int] = (),
    discarded: Mapping[Path, str] | None = None,
) -> JudgedTranscripts:
    """Decode what judges by base and tuned models, with other workers where it is asked.

    A model that was discarded is judged by the hypotheses that are kept of it, if all of them are.

    Args:
        run: whose runtime decodes.
        rows: of the cycle.
        general: general English; None without a set.
        tuned: the shipped model, and the plain tuned one where that is another.
        recordings: without speech.
        shifts: under which the rows that judge are decoded.
        judging: numbers of these rows.
        discarded: SHA-256 of those of the models whose files are gone.
    """
    audio = audio_set(rows.rows, run.audio_roots, shifts, judging)
    if general is not None:
        audio += audio_set(general.guardrail, run.audio_roots)
    cache = evaluate.open_hypothesis_cache(run.cycle, run.runtime)
    cache = replace(cache, gone=discarded or {})
    # Recordings without speech lie in this machine's cache: another worker may have none.
    everything = audio + nonspeech_set(recordings)
    models = (run.base_model, *(one for one in tuned if _is_readable(one, everything, cache)))
    # Shards are runs of their own, which a task cannot have.
    # The verdict is about base and shipped model.
    transcribe_shards.share(run.config, models, audio, cache, plainly=models[2:])
    joined = joined_rows(run, general)
    ends = (len(rows.rows), len(audio.audio))
    return transcribe_cycle(run, models, everything, ends, cache, joined)


def _is_readable(model: Path, audio: AudioSet, cache: TranscriptStore) -> bool:
    """Return whether a model can decode or all its hypotheses are kept; tell of one that cannot."""
    if model not in cache.gone:
        return True
    pieces = offline.missing([model], audio, cache, plainly=[model])
    if pieces:
        rows = sum(len(piece.audio) for _, piece in pieces)
        not_kept = assignment("keep_tuned", value=False)
        console.print_stage(
            "transcribe",
            f"{model.name} was not kept ({not_kept}), and neither were its texts of {rows} "
            "recordings: the leaderboard lacks the plain tuned model. To have it again, rename "
            f"{model.parent} and run without {not_kept}; that trains once more",
        )
    return not pieces


@task(name="offline-transcribe", cache_policy=NO_CACHE)
def transcribe_cycle(
    run: CycleRun,
    models: tuple[Path, ...],
    audio: AudioSet,
    ends: tuple[int, int],
    cache: TranscriptStore,
    joined: tuple[JoinedRow, ...],
) -> JudgedTranscripts:
    """Decode all that judges by all models, with the same command, in one job.

    Args:
        run: whose runtime decodes.
        models: base, shipped model, and the plain tuned one where that is another.
        audio: the cycle's recordings, those of general English, and those without speech.
        ends: where the cycle's recordings end, and where those of general English do.
        cache: what was decoded before.
        joined: sentences, which base and shipped model decode in long recordings as well. These
            are written for the time that it takes.
    """
    several = max(map(len, audio.every_shift), default=1)
    variants = f", judged rows {several} times" if several > 1 else ""
    console.print_stage(
        "transcribe",
        f"{counted(len(audio.audio), 'row')} by {counted(len(models), 'model')}{variants}",
    )
    slot = gpu_slots.gpu_slot(run.runtime.hardware.gpus)
    cache.folder.mkdir(parents=True, exist_ok=True)
    with work_folder(cache.folder, ".joined-") as folder:
        joined_sentences.write(joined, folder)
        long_audio = joined_set(joined, folder)
        transcripts = offline.transcribe(
            models,
            audio,
            run.runtime,
            cache,
            also=[(model, long_audio) for model in models[:2]],
            holding=slot,
            plainly=models[2:],
        )
    long_texts = tuple(
        tuple(by_recording[row.recording] for row in joined)
        for by_recording in (cache.read(model) if joined else {} for model in models[:2])
    )
    artifacts.speed(dict(zip(("base", "tuned", "unmixed"), transcripts, strict=False)))
    bounds = ((0, ends[0]), (ends[0], ends[1]), (ends[1], None))
    cycle, general, without_speech = (
        tuple(transcript.part(start, end) for transcript in transcripts) for start, end in bounds
    )
    return JudgedTranscripts(cycle, general, without_speech, long_texts)


def joined_rows(run: CycleRun, general: GeneralSet | None) -> tuple[JoinedRow, ...]:
    """Return the recordings of joined sentences; fewer on a CPU, nothing without a set."""
    if general is None:
        return ()
    counts = ROWS_ON_GPU if run.runtime.hardware.gpus else ROWS_ON_CPU
    return joined_sentences.plan(general.guardrail, counts)
