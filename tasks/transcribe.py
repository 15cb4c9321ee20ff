"""Offline transcription (specification, 4e): any models over any sets, in one process.

Base and tuned model are decoded by the same command on the same rows; NeMo is imported once and
each model is loaded once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import TranscriptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ENTRY = Path(__file__).parent / "entry" / "transcribe.py"
_BATCH_SIZE = 16
_LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class AudioSet:
    """Audio to decode: absolute paths, and their durations in seconds."""

    audio: tuple[Path, ...]
    durations: tuple[float, ...]

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
    models: Sequence[Path], audio: AudioSet, report: Callable[[str], None] = lambda _: None
) -> tuple[Transcript, ...]:
    """Decode one set by each model.

    Args:
        models: .nemo files; each is loaded once.
        audio: the set.
        report: is called with a line of progress now and then.

    Returns:
        One transcript a model, in their order.

    Raises:
        TranscriptionError: a model could not be loaded or decoding failed; holds the log's end.
    """
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-") as folder:
        outs = [Path(folder) / f"{number}.jsonl" for number in range(len(models))]
        request = Path(folder) / "request.json"
        request.write_text(json.dumps(_request(models, outs, audio)), encoding="utf-8")
        events = _run(request, Path(folder) / "log", report)
        sets = [event for event in events if event["event"] == "set"]
        return tuple(
            Transcript(model, _read(out, audio), event["audio_seconds"], event["seconds"])
            for model, out, event in zip(models, outs, sets, strict=True)
        )


def _request(models: Sequence[Path], outs: Sequence[Path], audio: AudioSet) -> dict[str, Any]:
    paths = [str(path) for path in audio.audio]
    return {
        "batch_size": _BATCH_SIZE,
        "jobs": [
            {
                "model": str(model),
                "sets": [{"audio": paths, "durations": audio.durations, "out": str(out)}],
            }
            for model, out in zip(models, outs, strict=True)
        ],
    }


def _run(request: Path, log: Path, report: Callable[[str], None]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    with log.open("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, str(_ENTRY), str(request)],
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
        )
        try:
            for line in process.stdout or ():
                if not line.startswith('{"event"'):
                    continue  # libraries print to standard output as well
                event = json.loads(line)
                events.append(event)
                if event["event"] == "progress":
                    report(f"{event['done']} of {event['of']} rows")
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if code != 0:
            errors.seek(0)
            tail = errors.read().splitlines()[-_LOG_TAIL_LINES:]
            raise TranscriptionError(
                f"transcription ended with exit code {code}. The end of its log:\n"
                + "\n".join(f"  {line}" for line in tail)
            )
    return events


def _read(out: Path, audio: AudioSet) -> tuple[str, ...]:
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    if [row["audio"] for row in rows] != [str(path) for path in audio.audio]:
        raise TranscriptionError(f"{out}: the hypotheses do not belong to the rows asked for.")
    return tuple(row["hyp"] for row in rows)
