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
from tasks.transcription.variants import AS_IT_IS, Shifts, variant_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tasks.transcription.hypothesis_cache import TranscriptStore

PROGRAM = "transcribe.py"
# Every file of the program that decodes: other code may hear something else.
DECODER = (
    PROGRAM,
    "length_batching.py",
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
        shifts: of each file, the shifts under which it is decoded, see
            tasks/transcription/variants.py; empty where every file is decoded as it is alone.
    """

    audio: tuple[Path, ...]
    durations: tuple[float, ...]
    recordings: tuple[str, ...]
    roots: tuple[Path, ...]
    apart: bool = False
    shifts: tuple[Shifts, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.audio) == len(self.durations) == len(self.recordings):
            raise ValueError("every audio file needs a duration and a hash")
        if self.shifts and len(self.shifts) != len(self.audio):
            raise ValueError("either every audio file has its shifts, or none")

    @property
    def every_shift(self) -> tuple[Shifts, ...]:
        """The shifts of each file, also where each is decoded as it is."""
        return self.shifts or (AS_IT_IS,) * len(self.audio)

    @property
    def decodes(self) -> int:
        """How many hypotheses the set gets."""
        return sum(map(len, self.every_shift))

    @property
    def decoded_seconds(self) -> float:
        """Seconds of audio that are decoded, each file's as often as it is."""
        pairs = zip(self.durations, self.every_shift, strict=True)
        return sum(seconds * len(shifts) for seconds, shifts in pairs)

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the hypotheses in the store, file by file and shift by shift."""
        pairs = zip(self.recordings, self.every_shift, strict=True)
        return tuple(variant_key(recording, shift) for recording, one in pairs for shift in one)

    def __add__(self, other: AudioSet) -> AudioSet:
        """Return the files of both, this set's first."""
        return AudioSet(
            self.audio + other.audio,
            self.durations + other.durations,
            self.recordings + other.recordings,
            tuple(dict.fromkeys(self.roots + other.roots)),
            shifts=self.every_shift + other.every_shift if self.shifts or other.shifts else (),
        )

    def only(self, places: Sequence[int]) -> AudioSet:
        """Return the files at these places, in their order."""
        return AudioSet(
            tuple(self.audio[place] for place in places),
            tuple(self.durations[place] for place in places),
            tuple(self.recordings[place] for place in places),
            self.roots,
            self.apart,
            tuple(self.shifts[place] for place in places) if self.shifts else (),
        )


# A model, and recordings that it decodes together; see tasks/transcription/sharding.py.
Piece: TypeAlias = tuple[Path, AudioSet]


@dataclass(frozen=True, slots=True)
class Transcript:
    """The transcript of one set by one model.

    Attributes:
        model: the .nemo file.
        hypotheses: in the set's order, of each file as it is.
        decoded: how many of them were decoded now; the others were kept from before.
        audio_seconds: of what was decoded now.
        seconds: that decoding took; loading the model is not counted.
        how: it decoded, in the decoder's own words; "" where nothing was decoded here.
        variants: in the set's order, the hypotheses of each file under its shifts; empty where
            every file was decoded as it is alone.
    """

    model: Path
    hypotheses: tuple[str, ...]
    decoded: int
    audio_seconds: float
    seconds: float
    how: str = ""
    variants: tuple[tuple[str, ...], ...] = ()

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of decoding; 0 where nothing was decoded."""
        return self.audio_seconds / self.seconds if self.seconds else 0.0

    def part(self, start: int, end: int | None = None) -> Transcript:
        """Return the hypotheses of a part of the set, with the whole set's speed."""
        return replace(
            self, hypotheses=self.hypotheses[start:end], variants=self.variants[start:end]
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
        rows = sum(audio.decodes for _, audio in pieces)
        before = 0

        def handle_event(event: Mapping[str, Any]) -> None:
            nonlocal before
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


def run_job(
    job: Job, runtime: Runtime, on_event: Callable[[Mapping[str, Any]], None], name: str
) -> None:
    """Run a job that decodes to its end.

    Args:
        job: what to run.
        runtime: where.
        on_event: is called with each event that it prints; libraries print there as well.
        name: of what it does, for the message.

    Raises:
        TranscriptionError: it failed; holds the log's end.
    """

    def read(line: str) -> None:
        if line.startswith('{"event"'):
            on_event(json.loads(line))

    job_result = runtime.execute(job, read, lambda: None)
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
    if len(rows) != audio.decodes:
        raise TranscriptionError(f"{len(rows)} hypotheses for {audio.decodes} rows.")
    return tuple(row["hyp"] for row in rows)
