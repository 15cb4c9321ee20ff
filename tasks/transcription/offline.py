"""Offline transcription (specification, 4e): any models over one set, in one job.

Base and tuned model are decoded by the same command on the same rows; NeMo is imported once and
each model is loaded once. What was decoded is kept piece by piece; see
tasks/transcription/sharding.py.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tasks.common.errors import TranscriptionError
from tasks.runtimes.base import Job, Runtime
from tasks.runtimes.failures import Fault, FaultError, fault_of
from tasks.transcription import sharding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tasks.transcription.hypothesis_cache import TranscriptStore

PROGRAM = "transcribe.py"
# Every file of the program that decodes: other code may hear something else.
DECODER = (
    PROGRAM,
    "length_batching.py",
    "gpu_locks.py",
    "cuda_graphs.py",
    "heartbeat.py",
    "nvrtc_guard.py",
    "onednn_linear.py",
    "phrase_boosting.py",
    "decoding_pipeline.py",
    "nemo_audio_formats.py",
    "greedy_decoder.py",
    "audio_reader.py",
    "weights_only.py",
)
_LOG_TAIL_LINES = 15
# Faults whose remedies are for any job; the others' speak of training.
_OF_THE_HOST = {
    Fault.HOST_MEMORY,
    Fault.SHARED_MEMORY,
    Fault.DISK_FULL,
    Fault.DRIVER_TOO_OLD,
    Fault.NO_USABLE_GPU,
    Fault.GPU_BUSY,
    Fault.BAD_REQUEST,
    Fault.BYTES_OVERWRITTEN,
    Fault.NO_BOOSTING,
}


@dataclass(frozen=True, slots=True)
class AudioSet:
    """Audio to decode.

    Attributes:
        audio: absolute paths.
        durations: seconds, one a file.
        recordings: content hashes, one a file.
        roots: folders that hold all of the audio.
        apart: whether it gets batches and a memory budget of its own, as recordings that are many
            times longer than the others need.
    """

    audio: tuple[Path, ...]
    durations: tuple[float, ...]
    recordings: tuple[str, ...]
    roots: tuple[Path, ...]
    apart: bool = False

    def __post_init__(self) -> None:
        if not len(self.audio) == len(self.durations) == len(self.recordings):
            raise ValueError("every audio file needs a duration and a hash")

    def __add__(self, other: AudioSet) -> AudioSet:
        """Return the files of both, this set's first."""
        return AudioSet(
            self.audio + other.audio,
            self.durations + other.durations,
            self.recordings + other.recordings,
            tuple(dict.fromkeys(self.roots + other.roots)),
        )

    def only(self, places: Sequence[int]) -> AudioSet:
        """Return the files at these places, in their order."""
        return AudioSet(
            tuple(self.audio[place] for place in places),
            tuple(self.durations[place] for place in places),
            tuple(self.recordings[place] for place in places),
            self.roots,
            self.apart,
        )


# A model, and recordings that it decodes together; see tasks/transcription/sharding.py.
Piece: TypeAlias = tuple[Path, AudioSet]


@dataclass(frozen=True, slots=True)
class Transcript:
    """The transcript of one set by one model.

    Attributes:
        model: the .nemo file.
        hypotheses: in the set's order.
        decoded: how many of them were decoded now; the others were kept from before.
        audio_seconds: of what was decoded now.
        seconds: that decoding took; loading the model is not counted.
        how: it decoded, in the decoder's own words; "" where nothing was decoded here.
    """

    model: Path
    hypotheses: tuple[str, ...]
    decoded: int
    audio_seconds: float
    seconds: float
    how: str = ""

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of decoding; 0 where nothing was decoded."""
        return self.audio_seconds / self.seconds if self.seconds else 0.0

    def part(self, start: int, end: int | None = None) -> Transcript:
        """Return the hypotheses of a part of the set, with the whole set's speed."""
        return replace(self, hypotheses=self.hypotheses[start:end])


def transcribe(
    models: Sequence[Path],
    audio: AudioSet,
    runtime: Runtime,
    store: TranscriptStore,
    report: Callable[[str], None] = lambda _: None,
    *,
    also: Sequence[Piece] = (),
    holding: AbstractContextManager[object] | None = None,
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

    Returns:
        One transcript a model, in their order.

    Raises:
        TranscriptionError: a model could not be loaded or decoding failed; holds the log's end.
    """
    pieces = missing(models, audio, store)
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
                round(sum(sum(piece.durations) for piece, _ in new), 3),
                sum(seconds for _, seconds in new),
                decoding_notes.get(model, ""),
            )
        )
    return tuple(transcripts)


def missing(models: Sequence[Path], audio: AudioSet, store: TranscriptStore) -> list[Piece]:
    """List the pieces that each model has not decoded yet; each recording once a model."""
    return [
        (model, piece) for model in models for piece in _undecoded_pieces(audio, store.read(model))
    ]


def _undecoded_pieces(audio: AudioSet, hyps_by_recording: Mapping[str, str]) -> list[AudioSet]:
    """List the pieces without hypotheses, cut into the batches that are decoded together."""
    first = {recording: place for place, recording in reversed([*enumerate(audio.recordings)])}
    unique_audio = audio.only(sorted(first.values()))
    pieces = [
        unique_audio.only(places)
        for places in sharding.pieces(unique_audio.durations, unique_audio.recordings)
    ]
    undecoded_pieces = [
        piece.only(
            [
                n
                for n, recording in enumerate(piece.recordings)
                if recording not in hyps_by_recording
            ]
        )
        for piece in pieces
    ]
    return [piece for piece in undecoded_pieces if piece.audio]


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
        return []
    # Beside the cycle: an engine finds there what a worker in a container of its own writes.
    store.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=store.folder) as folder:
        work = Path(folder)
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
        rows = sum(len(audio.audio) for _, audio in pieces)
        before = 0

        def handle_line(line: str) -> None:
            nonlocal before
            if not line.startswith('{"event"'):
                return  # libraries print to standard output as well
            event = json.loads(line)
            if event["event"] == "progress":
                report(f"{before + event['done']} of {rows} rows")
            elif event["event"] == "model":
                report(event["how"])
                if decoding_notes is not None:
                    decoding_notes[pieces[len(piece_seconds)][0]] = event["how"]
            elif event["event"] == "memory":
                report(f"out of memory: batches of {event['frames']} frames from here on")
            elif event["event"] == "set":
                model, audio = pieces[len(piece_seconds)]
                texts = _read(hyp_files[len(piece_seconds)], audio)
                store.keep(model, dict(zip(audio.recordings, texts, strict=True)))
                before += len(texts)
                piece_seconds.append(float(event["seconds"]))

        run_job(job, runtime, handle_line, "transcription")
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
                    }
                    for (_, audio), hyp_file in sets
                ],
            }
            for model, sets in itertools.groupby(pairs, key=lambda pair: pair[0][0])
        ],
    }


def run_job(job: Job, runtime: Runtime, on_line: Callable[[str], None], name: str) -> None:
    """Run a job that decodes to its end.

    Args:
        job: what to run.
        runtime: where.
        on_line: is called with each line of its output.
        name: of what it does, for the message.

    Raises:
        TranscriptionError: it failed; holds the log's end.
    """
    job_result = runtime.execute(job, on_line, lambda: None)
    if job_result.exit_code != 0:
        tail = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        fault = fault_of(job_result, job.log)
        remedy = f"{FaultError(fault)}\n" if fault in _OF_THE_HOST else ""
        raise TranscriptionError(
            f"{remedy}{name} ended with exit code {job_result.exit_code}. "
            "The end of its log:\n" + "\n".join(f"  {line}" for line in tail[-_LOG_TAIL_LINES:])
        )


def _read(hyp_file: Path, audio: AudioSet) -> tuple[str, ...]:
    rows = [json.loads(line) for line in hyp_file.read_text(encoding="utf-8").splitlines()]
    if len(rows) != len(audio.audio):
        raise TranscriptionError(f"{len(rows)} hypotheses for {len(audio.audio)} rows.")
    return tuple(row["hyp"] for row in rows)
