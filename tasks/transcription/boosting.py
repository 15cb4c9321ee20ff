"""Decode recordings with lists of phrases at several strengths, in one job.

The job waits for what it is asked for next, so that the model is loaded once and each recording is
encoded once, however many strengths are tried; and no recording that judges is decoded before a
strength is chosen.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.runtimes.base import Job, Runtime
from tasks.transcription import offline
from tasks.transcription.decoding_job import run_job
from tasks.transcription.mixtures import read_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tasks.transcription.mixtures import ChoosingAudio, Texts

PROGRAM = "boost_strengths.py"
PROGRAMS = (PROGRAM, "interpolate.py", "mix_weights.py", *offline.DECODER)
"""Every file of the program."""
UNBOOSTED = ""
"""The name of no list; its strength is 0."""


@dataclass(frozen=True, slots=True)
class BoostedCandidate:
    """A list of phrases at a strength; the model alone has no list and strength 0."""

    phrases: str = UNBOOSTED
    strength: float = 0.0

    def __post_init__(self) -> None:
        if self.strength < 0 or (self.phrases == UNBOOSTED) != (self.strength == 0):
            raise ValueError("a list has a strength above 0, and the model alone has 0")


BASE = BoostedCandidate()


@dataclass(frozen=True, slots=True)
class CandidatesWanted:
    """The candidates to decode next, and the sets that they decode."""

    candidates: tuple[BoostedCandidate, ...]
    sets: tuple[str, ...]


BoostedTexts = dict[BoostedCandidate, "Texts"]
"""Of each candidate the texts of each set that it has decoded."""


@dataclass
class BoostingTimes:
    """Seconds of a job.

    Attributes:
        encoding: of each set, features and encoder.
        decoding: of each candidate, over its sets.
        how: the decoder's own words.
    """

    encoding: dict[str, float]
    decoding: dict[BoostedCandidate, float]
    how: str = ""


def decode_boosted(
    model: Path,
    lists: Mapping[str, Sequence[str]],
    sets: Sequence[ChoosingAudio],
    work: Path,
    runtime: Runtime,
    answer: Callable[[BoostedTexts], CandidatesWanted | None],
    report: Callable[[str], None] = lambda _: None,
) -> tuple[BoostedTexts, BoostingTimes]:
    """Decode the candidates that ``answer`` asks for.

    Args:
        model: the .nemo.
        lists: of phrases, by name, as the model writes.
        sets: what may be decoded.
        work: a folder for the job; it is removed, as is the folder of lists beside it.
        runtime: where the job runs.
        answer: is given the texts so far and says what comes next; None ends the job.
        report: is called with lines for a person.

    Raises:
        TranscriptionError: this NeMo or this model cannot be boosted, or decoding failed; holds
            the log's end.
    """
    folder = work.with_name(f"{work.name}.phrases")
    for path in (work, folder):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    files = _write_lists(folder, lists)
    roots = [root for one in sets for root in one.audio.roots]
    reads = tuple(dict.fromkeys([model, folder, *roots]))
    map_path = runtime.path_mapper(work, reads)
    job = Job(
        name="boosting",
        program=PROGRAM,
        request={
            "model": map_path(model),
            "lists": {name: map_path(path) for name, path in files.items()},
            "sets": [one.as_request(map_path) for one in sets],
            "answers": map_path(work),
        },
        work=work,
        reads=reads,
        labels={"run": "boosting"},
    )
    texts: BoostedTexts = {}
    times = BoostingTimes({}, {})
    asked: list[ChoosingAudio] = []

    def handle_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "candidate":
            candidate = BoostedCandidate(event["list"], float(event["strength"]))
            of_candidate = read_texts(work / event["out"], asked)
            texts.setdefault(candidate, {}).update(of_candidate)
            seconds = times.decoding.get(candidate, 0.0) + float(event["seconds"])
            times.decoding[candidate] = seconds
            name = f"{candidate.phrases} at {candidate.strength:g}" if candidate.phrases else "base"
            report(f"{name} in {event['seconds']:.1f} s")
        elif event["event"] == "encoded":
            times.encoding[event["set"]] = float(event["seconds"])
        elif event["event"] == "model":
            times.how = event["how"]
            report(event["how"])
        elif event["event"] == "asks":
            wanted = answer(texts)
            asked[:] = [one for one in sets if wanted is not None and one.name in wanted.sets]
            _answer(work / f"answer-{event['number']}.json", wanted)

    try:
        run_job(job, runtime, handle_event, "boosting")
    finally:
        for path in (work, folder):
            shutil.rmtree(path, ignore_errors=True)
    return texts, times


def _write_lists(folder: Path, lists: Mapping[str, Sequence[str]]) -> dict[str, Path]:
    """Write each list to a file that the job reads and cannot change, a phrase on each line."""
    files = {}
    for number, (name, phrases) in enumerate(lists.items()):
        files[name] = folder / f"{number}.txt"
        atomic_files.write_text(files[name], "".join(f"{phrase}\n" for phrase in phrases))
    return files


def check_nemo(work: Path, runtime: Runtime) -> None:
    """Refuse a runtime whose NeMo cannot boost, before anything is spent.

    Raises:
        TranscriptionError: it has no boosting tree.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    labels = {"run": "boosting"}
    job = Job("boosting", PROGRAM, {"probe": True}, work, (), labels)
    try:
        run_job(job, runtime, lambda _: None, "boosting")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _answer(path: Path, wanted: CandidatesWanted | None) -> None:
    content: dict[str, Any] = {"done": True}
    if wanted is not None:
        candidates = [[one.phrases, one.strength] for one in wanted.candidates]
        content = {"sets": wanted.sets, "candidates": candidates}
    atomic_files.write_text(path, json.dumps(content))
