"""Offline transcription (specification, 4e): any models over one set, in one job.

Base and tuned model are decoded by the same command on the same rows; NeMo is imported once and
each model is loaded once.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.course import fault_of
from tasks.errors import TranscriptionError
from tasks.faults import Fault, FaultError
from tasks.runtime import Job, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.transcripts import TranscriptStore

PROGRAM = "transcribe.py"
# What decodes, beside the program itself: other code may hear something else.
DECODER = (PROGRAM, "batches.py", "pipeline.py", "recogniser.py", "sound.py")
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


@dataclass(frozen=True, slots=True)
class Transcript:
    """What one model made of one set.

    Attributes:
        model: the .nemo file.
        hypotheses: in the set's order.
        decoded: how many of them were decoded now; the others were kept from before.
        audio_seconds: of what was decoded now.
        seconds: that decoding took; loading the model is not counted.
    """

    model: Path
    hypotheses: tuple[str, ...]
    decoded: int
    audio_seconds: float
    seconds: float

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
) -> tuple[Transcript, ...]:
    """Decode one set by each model; what a model has decoded before is not decoded again.

    Args:
        models: .nemo files; each is loaded once, or not at all.
        audio: the set.
        runtime: where to decode.
        kept: the hypotheses that were made before; gets the new ones.
        report: is called with a line of progress now and then.

    Returns:
        One transcript a model, in their order.

    Raises:
        TranscriptionError: a model could not be loaded or decoding failed; holds the log's end.
    """
    known = [kept.read(model) for model in models]
    todo = [_missing(audio, one) for one in known]
    sets = _decode(
        [pair for pair in zip(models, todo, strict=True) if pair[1].audio], runtime, report
    )
    transcripts = []
    for model, before, new in zip(models, known, todo, strict=True):
        seconds = 0.0
        if new.audio:
            found, seconds = sets.pop(0)
            before.update(zip(new.recordings, found, strict=True))
            kept.keep(model, before)
        texts = tuple(before[recording] for recording in audio.recordings)
        transcripts.append(
            Transcript(model, texts, len(new.audio), round(sum(new.durations), 3), seconds)
        )
    return tuple(transcripts)


def _missing(audio: AudioSet, known: Mapping[str, str]) -> AudioSet:
    """The recordings without a hypothesis, each once."""
    first = {recording: place for place, recording in reversed([*enumerate(audio.recordings)])}
    return audio.only(sorted(first[recording] for recording in first.keys() - known.keys()))


def _decode(
    wanted: Sequence[tuple[Path, AudioSet]], runtime: Runtime, report: Callable[[str], None]
) -> list[tuple[tuple[str, ...], float]]:
    """Hypotheses and seconds of each model with its set; one job for all of them."""
    if not wanted:
        return []
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-") as folder:
        work = Path(folder)
        outs = [work / f"{number}.jsonl" for number in range(len(wanted))]
        roots = [root for _, audio in wanted for root in audio.roots]
        reads = tuple(dict.fromkeys([*(model for model, _ in wanted), *roots]))
        job = Job(
            name="transcription",
            program=PROGRAM,
            request=_request(wanted, outs, runtime.inside(work, reads)),
            work=work,
            reads=reads,
            labels={"run": "transcription"},
        )
        sets = _run(job, runtime, report)
        return [
            (_read(out, audio), float(event["seconds"]))
            for (_, audio), out, event in zip(wanted, outs, sets, strict=True)
        ]


def _request(
    wanted: Sequence[tuple[Path, AudioSet]], outs: Sequence[Path], inside: Callable[[Path], str]
) -> dict[str, Any]:
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
                ],
            }
            for (model, audio), out in zip(wanted, outs, strict=True)
        ],
    }


def _run(job: Job, runtime: Runtime, report: Callable[[str], None]) -> list[dict[str, Any]]:
    """Run the job; the finished sets, in their order."""
    sets: list[dict[str, Any]] = []

    def see(line: str) -> None:
        if not line.startswith('{"event"'):
            return  # libraries print to standard output as well
        event = json.loads(line)
        if event["event"] == "progress":
            report(f"{event['done']} of {event['of']} rows")
        elif event["event"] == "set":
            sets.append(event)

    ended = runtime.execute(job, see, lambda: None)
    if ended.exit_code != 0:
        tail = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        fault = fault_of(ended, job.log)
        why = f"{FaultError(fault)}\n" if fault in _OF_THE_HOST else ""
        raise TranscriptionError(
            f"{why}transcription ended with exit code {ended.exit_code}. The end of its log:\n"
            + "\n".join(f"  {line}" for line in tail[-_LOG_TAIL_LINES:])
        )
    return sets


def _read(out: Path, audio: AudioSet) -> tuple[str, ...]:
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    if len(rows) != len(audio.audio):
        raise TranscriptionError(f"{len(rows)} hypotheses for {len(audio.audio)} rows.")
    return tuple(row["hyp"] for row in rows)
