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
}


@dataclass(frozen=True, slots=True)
class AudioSet:
    """Audio to decode.

    Attributes:
        audio: absolute paths.
        durations: seconds, one a file.
        recordings: content hashes, one a file.
        roots: folders that hold all of the audio.
    """

    audio: tuple[Path, ...]
    durations: tuple[float, ...]
    recordings: tuple[str, ...]
    roots: tuple[Path, ...]

    def __post_init__(self) -> None:
        if not len(self.audio) == len(self.durations) == len(self.recordings):
            raise ValueError("every audio file needs a duration and a hash")

    def only(self, places: Sequence[int]) -> AudioSet:
        """The files at these places, in their order."""
        return AudioSet(
            tuple(self.audio[place] for place in places),
            tuple(self.durations[place] for place in places),
            tuple(self.recordings[place] for place in places),
            self.roots,
        )


# A model, and recordings that it decodes together; see tasks/transcription/sharding.py.
Piece: TypeAlias = tuple[Path, AudioSet]


@dataclass(frozen=True, slots=True)
class Transcript:
    """What one model made of one set.

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
        """The hypotheses of a part of the set, with the whole set's speed."""
        return replace(self, hypotheses=self.hypotheses[start:end])


def transcribe(
    models: Sequence[Path],
    audio: AudioSet,
    runtime: Runtime,
    kept: TranscriptStore,
    report: Callable[[str], None] = lambda _: None,
    *,
    holding: AbstractContextManager[object] | None = None,
) -> tuple[Transcript, ...]:
    """Decode one set by each model; what a model has decoded before is not decoded again.

    Args:
        models: .nemo files; each is loaded once, or not at all.
        audio: the set.
        runtime: where to decode.
        kept: the hypotheses that were made before; gets the new ones.
        report: is called with a line of progress now and then.
        holding: is entered while something is decoded, and not at all where nothing has to be.

    Returns:
        One transcript a model, in their order.

    Raises:
        TranscriptionError: a model could not be loaded or decoding failed; holds the log's end.
    """
    todo = missing(models, audio, kept)
    how: dict[Path, str] = {}
    with holding if todo and holding is not None else nullcontext():
        took = decode(todo, runtime, kept, report, how)
    transcripts = []
    for model in models:
        known = kept.read(model)
        new = [(one, spent) for (by, one), spent in zip(todo, took, strict=True) if by == model]
        transcripts.append(
            Transcript(
                model,
                tuple(known[recording] for recording in audio.recordings),
                sum(len(one.audio) for one, _ in new),
                round(sum(sum(one.durations) for one, _ in new), 3),
                sum(spent for _, spent in new),
                how.get(model, ""),
            )
        )
    return tuple(transcripts)


def missing(models: Sequence[Path], audio: AudioSet, kept: TranscriptStore) -> list[Piece]:
    """What each model has not decoded yet, in pieces; each recording once a model."""
    return [(model, piece) for model in models for piece in _missing(audio, kept.read(model))]


def _missing(audio: AudioSet, known: Mapping[str, str]) -> list[AudioSet]:
    """What has no hypothesis yet, each recording once, in the pieces that are decoded together."""
    first = {recording: place for place, recording in reversed([*enumerate(audio.recordings)])}
    once = audio.only(sorted(first.values()))
    cut = [once.only(places) for places in sharding.pieces(once.durations, once.recordings)]
    left = [
        piece.only([n for n, recording in enumerate(piece.recordings) if recording not in known])
        for piece in cut
    ]
    return [piece for piece in left if piece.audio]


def decode(
    todo: Sequence[Piece],
    runtime: Runtime,
    kept: TranscriptStore,
    report: Callable[[str], None] = lambda _: None,
    how: dict[Path, str] | None = None,
) -> list[float]:
    """Decode pieces in one job, and keep each as soon as it is done.

    Args:
        todo: the pieces; those of one model stand together, so that it is loaded once.
        runtime: where to decode.
        kept: gets the hypotheses; a job that is killed loses one piece and no more.
        report: is called with lines for a person.
        how: gets the words in which each model's decoder says how it decoded.

    Returns:
        The seconds that each piece took.

    Raises:
        TranscriptionError: a model could not be loaded or decoding failed; holds the log's end.
    """
    if not todo:
        return []
    # Beside the cycle: an engine finds there what a worker in a container of its own writes.
    kept.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=kept.folder) as folder:
        work = Path(folder)
        outs = [work / f"{number}.jsonl" for number in range(len(todo))]
        roots = [root for _, audio in todo for root in audio.roots]
        reads = tuple(dict.fromkeys([*(model for model, _ in todo), *roots]))
        job = Job(
            name="transcription",
            program=PROGRAM,
            request=_request(todo, outs, runtime.path_mapper(work, reads)),
            work=work,
            reads=reads,
            labels={"run": "transcription"},
        )
        took: list[float] = []
        rows = sum(len(audio.audio) for _, audio in todo)
        before = 0

        def see(line: str) -> None:
            nonlocal before
            if not line.startswith('{"event"'):
                return  # libraries print to standard output as well
            event = json.loads(line)
            if event["event"] == "progress":
                report(f"{before + event['done']} of {rows} rows")
            elif event["event"] == "model":
                report(event["how"])
                if how is not None:
                    how[todo[len(took)][0]] = event["how"]
            elif event["event"] == "memory":
                report(f"out of memory: batches of {event['frames']} frames from here on")
            elif event["event"] == "set":
                model, audio = todo[len(took)]
                texts = _read(outs[len(took)], audio)
                kept.keep(model, dict(zip(audio.recordings, texts, strict=True)))
                before += len(texts)
                took.append(float(event["seconds"]))

        _run(job, runtime, see)
        return took


def _request(
    todo: Sequence[Piece], outs: Sequence[Path], inside: Callable[[Path], str]
) -> dict[str, Any]:
    pairs = zip(todo, outs, strict=True)
    return {
        "jobs": [
            {
                "model": inside(model),
                "sets": [
                    {
                        "audio": [inside(path) for path in audio.audio],
                        "durations": audio.durations,
                        "out": inside(out),
                    }
                    for (_, audio), out in sets
                ],
            }
            for model, sets in itertools.groupby(pairs, key=lambda pair: pair[0][0])
        ],
    }


def _run(job: Job, runtime: Runtime, see: Callable[[str], None]) -> None:
    """Run the job to its end."""
    ended = runtime.execute(job, see, lambda: None)
    if ended.exit_code != 0:
        tail = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        fault = fault_of(ended, job.log)
        why = f"{FaultError(fault)}\n" if fault in _OF_THE_HOST else ""
        raise TranscriptionError(
            f"{why}transcription ended with exit code {ended.exit_code}. The end of its log:\n"
            + "\n".join(f"  {line}" for line in tail[-_LOG_TAIL_LINES:])
        )


def _read(out: Path, audio: AudioSet) -> tuple[str, ...]:
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    if len(rows) != len(audio.audio):
        raise TranscriptionError(f"{len(rows)} hypotheses for {len(audio.audio)} rows.")
    return tuple(row["hyp"] for row in rows)
