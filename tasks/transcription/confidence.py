"""How sure a model is of the words that it writes, recording by recording."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tasks.common.counted import counted
from tasks.common.errors import TranscriptionError
from tasks.common.work_folders import work_folder
from tasks.data.labelling.sheet_ranking import SpokenWord
from tasks.runtimes.base import Job
from tasks.transcription.decoding_job import run_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tasks.runtimes.base import Runtime
    from tasks.transcription.audio_sets import AudioSet

PROGRAM = "word_confidence.py"


def measure_confidence(
    model: Path,
    audio: AudioSet,
    runtime: Runtime,
    beside: Path,
    report: Callable[[str], None] = lambda _: None,
) -> list[tuple[SpokenWord, ...]] | None:
    """Decode each recording as it is, and tell how sure the model is of each word.

    Args:
        model: the .nemo file.
        audio: the recordings.
        runtime: where to decode.
        beside: the folder that gets the job's folder, until it is done.
        report: takes a line of progress.

    Returns:
        The words of each recording; None for a model that does not tell, as its line of progress
        says.

    Raises:
        TranscriptionError: the model could not be loaded, or decoding failed.
    """
    beside.mkdir(parents=True, exist_ok=True)
    with work_folder(beside, ".work-") as work:
        out = work / "confidence.jsonl"
        reads = tuple(dict.fromkeys([model, *audio.roots]))
        inside = runtime.path_mapper(work, reads)
        job = Job(
            name="confidence",
            program=PROGRAM,
            request={
                "model": inside(model),
                "audio": [inside(path) for path in audio.audio],
                "durations": audio.durations,
                "out": inside(out),
            },
            work=work,
            reads=reads,
            labels={"run": "confidence"},
        )

        def handle_event(event: Mapping[str, Any]) -> None:
            if event["event"] == "progress":
                report(f"confidence: {event['done']} of {counted(event['of'], 'row')}")
            elif event["event"] == "unsure":
                report(f"no confidence of this model: {event['why']}")

        run_job(job, runtime, handle_event, "measuring confidence")
        if not out.is_file():
            return None
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    if len(rows) != len(audio.audio):
        raise TranscriptionError(f"confidence of {len(rows)} recordings for {len(audio.audio)}.")
    return [
        tuple(SpokenWord(*pair) for pair in zip(row["words"], row["confidence"], strict=True))
        for row in rows
    ]
