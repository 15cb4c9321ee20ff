"""Offline transcription (specification, 4e): any models over one set, in one job.

Base and tuned model are decoded by the same command on the same rows; NeMo is imported once and
each model is loaded once.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import TranscriptionError
from tasks.runtime import Job, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PROGRAM = "transcribe.py"
_BATCH_SIZE = 16
_LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class AudioSet:
    """Audio to decode.

    Attributes:
        audio: absolute paths.
        durations: seconds, one a file.
        roots: folders that hold all of the audio.
    """

    audio: tuple[Path, ...]
    durations: tuple[float, ...]
    roots: tuple[Path, ...]

    def __post_init__(self) -> None:
        if len(self.audio) != len(self.durations):
            raise ValueError("every audio file needs a duration")


@dataclass(frozen=True, slots=True)
class Transcript:
    """What one model made of one set, in the set's order, and how long decoding took."""

    model: Path
    hypotheses: tuple[str, ...]
    audio_seconds: float
    seconds: float

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of decoding; loading the model is not counted."""
        return self.audio_seconds / self.seconds if self.seconds else 0.0


def transcribe(
    models: Sequence[Path],
    audio: AudioSet,
    runtime: Runtime,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[Transcript, ...]:
    """Decode one set by each model.

    Args:
        models: .nemo files; each is loaded once.
        audio: the set.
        runtime: where to decode.
        report: is called with a line of progress now and then.

    Returns:
        One transcript a model, in their order.

    Raises:
        TranscriptionError: a model could not be loaded or decoding failed; holds the log's end.
    """
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-") as folder:
        work = Path(folder)
        outs = [work / f"{number}.jsonl" for number in range(len(models))]
        reads = (*models, *audio.roots)
        job = Job(
            name="transcription",
            program=_PROGRAM,
            request=_request(models, outs, audio, runtime.inside(work, reads)),
            work=work,
            reads=reads,
            labels={"run": "transcription"},
        )
        sets = _run(job, runtime, report)
        return tuple(
            Transcript(model, _read(out, audio), event["audio_seconds"], event["seconds"])
            for model, out, event in zip(models, outs, sets, strict=True)
        )


def _request(
    models: Sequence[Path], outs: Sequence[Path], audio: AudioSet, inside: Callable[[Path], str]
) -> dict[str, Any]:
    paths = [inside(path) for path in audio.audio]
    return {
        "batch_size": _BATCH_SIZE,
        "jobs": [
            {
                "model": inside(model),
                "sets": [{"audio": paths, "durations": audio.durations, "out": inside(out)}],
            }
            for model, out in zip(models, outs, strict=True)
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
        raise TranscriptionError(
            f"transcription ended with exit code {ended.exit_code}. The end of its log:\n"
            + "\n".join(f"  {line}" for line in tail[-_LOG_TAIL_LINES:])
        )
    return sets


def _read(out: Path, audio: AudioSet) -> tuple[str, ...]:
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    if len(rows) != len(audio.audio):
        raise TranscriptionError(f"{len(rows)} hypotheses for {len(audio.audio)} rows.")
    return tuple(row["hyp"] for row in rows)
