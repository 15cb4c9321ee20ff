"""Offline transcription (specification, 4e): any models over one set, in one job.

Base and tuned model are decoded by the same command on the same rows; NeMo is imported once and
each model is loaded once. What was decoded is kept piece by piece; see
tasks/transcription/sharding.py.
"""

from __future__ import annotations

import itertools
import json
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tasks.common.counted import counted
from tasks.common.errors import TranscriptionError
from tasks.common.work_folders import remove_abandoned, work_folder
from tasks.runtimes.base import Job, Runtime
from tasks.transcription import sharding
from tasks.transcription.audio_sets import AudioSet, Piece, Transcript
from tasks.transcription.decoding_job import run_job
from tasks.transcription.variants import variant_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tasks.transcription.hypothesis_cache import TranscriptStore

PROGRAM = "transcribe.py"
# Every file of the program that decodes: other code may hear something else.
_WORK = ".work-"
DECODER = (
    PROGRAM,
    "length_batching.py",
    "depthwise.cu",
    "depthwise_kernels.py",
    "encoder_runner.py",
    "folded_encoder.py",
    "folded_layers.py",
    "folded_weights.py",
    "gpu_locks.py",
    "cuda_graphs.py",
    "heartbeat.py",
    "job_phases.py",
    "nvrtc_guard.py",
    "onednn_linear.py",
    "phrase_boosting.py",
    "decoding_parts.py",
    "decoding_pipeline.py",
    "nemo_audio_formats.py",
    "greedy_decoder.py",
    "greedy_labels.py",
    "token_decoder.py",
    "audio_reader.py",
    "weights_only.py",
)


def transcribe(
    models: Sequence[Path],
    audio: AudioSet,
    runtime: Runtime,
    store: TranscriptStore,
    report: Callable[[str], None] = lambda _: None,
    *,
    also: Sequence[Piece] = (),
    holding: AbstractContextManager[object] | None = None,
    plainly: Sequence[Path] = (),
) -> tuple[Transcript, ...]:
    """Decode one set by each model; reuse the hypotheses that are stored.

    Args:
        models: .nemo files; each is loaded once, or not at all.
        audio: the set.
        runtime: where to decode.
        store: the hypotheses that were made before; gets the new ones.
        report: is called with a line of progress now and then.
        also: sets for some of the models that are decoded in the same job; their hypotheses are
            read from the store.
        holding: is entered while something is decoded, and not at all where nothing has to be.
        plainly: those of the models that decode every file as it is alone.

    Returns:
        One transcript a model, in their order.

    Raises:
        TranscriptionError: a model could not be loaded or decoding failed; holds the log's end.
    """
    pieces = missing(models, audio, store, plainly)
    for model, one_set in also:
        pieces += missing([model], one_set, store)
    # Those of one model together, so that it is loaded once.
    pieces.sort(key=lambda piece: models.index(piece[0]))
    decoding_notes: dict[Path, str] = {}
    with holding if pieces and holding is not None else nullcontext():
        piece_seconds = decode(pieces, runtime, store, report, decoding_notes)
    transcripts = []
    for model in models:
        hyps_by_recording = store.read(model)
        new = [
            (piece, seconds)
            for (piece_model, piece), seconds in zip(pieces, piece_seconds, strict=True)
            if piece_model == model and not piece.apart
        ]
        transcripts.append(
            Transcript(
                model,
                tuple(hyps_by_recording[recording] for recording in audio.recordings),
                sum(len(piece.audio) for piece, _ in new),
                round(sum(piece.decoded_seconds for piece, _ in new), 3),
                sum(seconds for _, seconds in new),
                decoding_notes.get(model, ""),
                () if model in plainly else _variants(audio, hyps_by_recording),
            )
        )
    return tuple(transcripts)


def _variants(audio: AudioSet, hyps_by_recording: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(hyps_by_recording[variant_key(recording, shift)] for shift in shifts)
        for recording, shifts in zip(
            audio.recordings, audio.shifts or (), strict=bool(audio.shifts)
        )
    )


def missing(
    models: Sequence[Path],
    audio: AudioSet,
    store: TranscriptStore,
    plainly: Sequence[Path] = (),
) -> list[Piece]:
    """List the pieces that each model has not decoded yet; each recording once a model."""
    as_they_are = replace(audio, shifts=())
    return [
        (model, piece)
        for model in models
        for piece in _undecoded_pieces(
            as_they_are if model in plainly else audio, store.read(model)
        )
    ]


def _undecoded_pieces(audio: AudioSet, hyps_by_recording: Mapping[str, str]) -> list[AudioSet]:
    """List the pieces without hypotheses, cut into the batches that are decoded together."""
    first = {recording: place for place, recording in reversed([*enumerate(audio.recordings)])}
    # A recording that stands twice is decoded once, under the shifts of both.
    wanted: dict[str, dict[int, None]] = {recording: {} for recording in first}
    for recording, shifts in zip(audio.recordings, audio.every_shift, strict=True):
        wanted[recording].update(dict.fromkeys(shifts))
    unique_audio = audio.only(sorted(first.values()))
    undecoded = {
        recording: tuple(
            shift
            for shift in wanted[recording]
            if variant_key(recording, shift) not in hyps_by_recording
        )
        for recording in unique_audio.recordings
    }
    pieces = (
        unique_audio.only([place for place in places if undecoded[unique_audio.recordings[place]]])
        for places in sharding.pieces(unique_audio.durations, unique_audio.recordings)
    )
    if not audio.shifts:
        return [piece for piece in pieces if piece.audio]
    return [
        replace(piece, shifts=tuple(undecoded[recording] for recording in piece.recordings))
        for piece in pieces
        if piece.audio
    ]


def decode(
    pieces: Sequence[Piece],
    runtime: Runtime,
    store: TranscriptStore,
    report: Callable[[str], None] = lambda _: None,
    decoding_notes: dict[Path, str] | None = None,
) -> list[float]:
    """Decode pieces in one job, and store each as soon as it is done.

    Args:
        pieces: the pieces; those of one model stand together, so that it is loaded once.
        runtime: where to decode.
        store: gets the hypotheses; a job that is killed loses one piece and no more.
        report: is called with lines for a person.
        decoding_notes: gets the words in which each model's decoder says how it decoded.

    Returns:
        The seconds that each piece took.

    Raises:
        TranscriptionError: a model could not be loaded or decoding failed; holds the log's end.
    """
    if not pieces:
        remove_abandoned(store.folder, _WORK)
        return []
    # Beside the cycle: an engine finds there what a worker in a container of its own writes.
    store.folder.mkdir(parents=True, exist_ok=True)
    with work_folder(store.folder, _WORK) as work:
        hyp_files = [work / f"{number}.jsonl" for number in range(len(pieces))]
        roots = [root for _, audio in pieces for root in audio.roots]
        reads = tuple(dict.fromkeys([*(model for model, _ in pieces), *roots]))
        job = Job(
            name="transcription",
            program=PROGRAM,
            request=_request(pieces, hyp_files, runtime.path_mapper(work, reads)),
            work=work,
            reads=reads,
            labels={"run": "transcription"},
        )
        piece_seconds: list[float] = []
        rows = sum(audio.decodes for _, audio in pieces)
        before = 0

        def handle_event(event: Mapping[str, Any]) -> None:
            nonlocal before
            if event["event"] == "progress":
                report(f"{before + event['done']} of {counted(rows, 'row')}")
            elif event["event"] == "model":
                report(event["how"])
                if decoding_notes is not None:
                    decoding_notes[pieces[len(piece_seconds)][0]] = event["how"]
            elif event["event"] == "memory":
                report(f"out of memory: batches of {event['frames']} frames from here on")
            elif event["event"] == "set":
                model, audio = pieces[len(piece_seconds)]
                texts = _read(hyp_files[len(piece_seconds)], audio)
                store.keep(model, dict(zip(audio.keys, texts, strict=True)))
                before += len(texts)
                piece_seconds.append(float(event["seconds"]))

        run_job(job, runtime, handle_event, "transcription")
        return piece_seconds


def _request(
    pieces: Sequence[Piece], hyp_files: Sequence[Path], map_path: Callable[[Path], str]
) -> dict[str, Any]:
    pairs = zip(pieces, hyp_files, strict=True)
    return {
        "jobs": [
            {
                "model": map_path(model),
                "sets": [
                    {
                        "audio": [map_path(path) for path in audio.audio],
                        "durations": audio.durations,
                        "out": map_path(hyp_file),
                        **({"apart": True} if audio.apart else {}),
                        **({"shifts": audio.shifts} if audio.shifts else {}),
                    }
                    for (_, audio), hyp_file in sets
                ],
            }
            for model, sets in itertools.groupby(pairs, key=lambda pair: pair[0][0])
        ],
    }


def _read(hyp_file: Path, audio: AudioSet) -> tuple[str, ...]:
    rows = [json.loads(line) for line in hyp_file.read_text(encoding="utf-8").splitlines()]
    if len(rows) != audio.decodes:
        raise TranscriptionError(f"{len(rows)} hypotheses for {audio.decodes} rows.")
    return tuple(row["hyp"] for row in rows)
