"""Decode mixtures of base and tuned model in one job, and have one of them written.

The job decodes what it is asked for, says so, and waits; the caller looks at the texts and asks for
more values, or for one to be shipped. So both models are loaded once, however often is asked.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.errors import TranscriptionError
from tasks.runtimes.base import Job, Runtime
from tasks.transcription import offline
from tasks.transcription.decoding_job import run_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tasks.transcription.audio_sets import AudioSet

PROGRAM = "interpolate.py"
MIXING_PROGRAM = "mix_weights.py"
PROGRAMS = (PROGRAM, MIXING_PROGRAM, *offline.DECODER)
"""Every file of the program: other code may hear or mix something else."""
_VALUE_DIGITS = 4


@dataclass(frozen=True, slots=True)
class ChoosingAudio:
    """Recordings that choose.

    Attributes:
        name: of the set, within the job.
        audio: the recordings.
        lead: samples of silence that are put before each.
    """

    name: str
    audio: AudioSet
    lead: int = 0

    def as_request(self, map_path: Callable[[Path], str]) -> dict[str, Any]:
        """Return the set as a job's request names it."""
        return {
            "name": self.name,
            "audio": [map_path(path) for path in self.audio.audio],
            "durations": self.audio.durations,
            "lead": self.lead,
        }


@dataclass(frozen=True, slots=True)
class MixturesWanted:
    """What a caller wants next: more values, or one that is shipped."""

    values: tuple[float, ...] = ()
    ship: float | None = None

    def __post_init__(self) -> None:
        if (self.ship is None) == (not self.values):
            raise ValueError("an answer is values to decode, or one to ship")


Texts = dict[str, tuple[str, ...]]
"""The texts of each set, by its name."""


def decode_mixtures(
    base: Path,
    tuned: Path,
    sets: Sequence[ChoosingAudio],
    out: Path,
    runtime: Runtime,
    answer: Callable[[Mapping[float, Texts]], MixturesWanted],
    report: Callable[[str], None] = lambda _: None,
) -> dict[float, float]:
    """Decode the mixtures that ``answer`` asks for, and write the one that it wants shipped.

    Args:
        base: the .nemo that was tuned.
        tuned: the tuned .nemo.
        sets: what is decoded by each mixture.
        out: the shipped .nemo; its folder gets a hidden work folder meanwhile.
        runtime: where the job runs.
        answer: is given the texts of every value so far and says what comes next; first of none.
        report: is called with lines for a person.

    Returns:
        The seconds that each value's decoding took.

    Raises:
        TranscriptionError: the models cannot be mixed, or decoding failed; holds the log's end.
    """
    work = _make_work_folder(out)
    first = answer({})
    roots = [root for one in sets for root in one.audio.roots]
    reads = tuple(dict.fromkeys([base, tuned, *roots]))
    map_path = runtime.path_mapper(work, reads)
    job = Job(
        name="interpolation",
        program=PROGRAM,
        request={
            "base": map_path(base),
            "tuned": map_path(tuned),
            "sets": [one.as_request(map_path) for one in sets],
            "values": first.values,
            "answers": map_path(work),
            "out": map_path(work / "shipped.nemo"),
        },
        work=work,
        reads=reads,
        labels={"run": "interpolation"},
    )
    texts: dict[float, Texts] = {}
    seconds: dict[float, float] = {}

    def handle_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "candidate":
            value = round(float(event["value"]), _VALUE_DIGITS)
            texts[value] = read_texts(work / event["out"], sets)
            seconds[value] = float(event["seconds"])
            report(f"value {value:g} in {seconds[value]:.1f} s")
        elif event["event"] == "asks":
            # With nothing to decode first, the job asks at once what was decided already.
            wanted = answer(texts) if texts else first
            atomic_files.write_text(
                work / f"answer-{event['number']}.json",
                json.dumps(
                    {"values": wanted.values} if wanted.ship is None else {"ship": wanted.ship}
                ),
            )

    try:
        run_job(job, runtime, handle_event, "interpolation")
        atomic_files.move(work / "shipped.nemo", out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return seconds


def write_mixture(base: Path, tuned: Path, value: float, out: Path, runtime: Runtime) -> None:
    """Write the mixture of a given value, for which nothing is decoded.

    Most models are mixed without NeMo, whose start takes longer than the mixing.

    Args:
        base: the .nemo that was tuned.
        tuned: the tuned .nemo.
        value: between 0, the base, and 1, the tuned model.
        out: the mixture; its folder gets a hidden work folder meanwhile.
        runtime: where the job runs.

    Raises:
        TranscriptionError: the models cannot be mixed; holds the log's end.
    """
    work = _make_work_folder(out)
    map_path = runtime.path_mapper(work, (base, tuned))
    job = Job(
        name="interpolation",
        program=MIXING_PROGRAM,
        request={
            "base": map_path(base),
            "tuned": map_path(tuned),
            "value": value,
            "out": map_path(work / "shipped.nemo"),
        },
        work=work,
        reads=(base, tuned),
        labels={"run": "interpolation"},
    )
    try:
        run_job(job, runtime, lambda _: None, "interpolation")
        if (mixed := (work / "shipped.nemo")).is_file():
            atomic_files.move(mixed, out)
            return
    finally:
        shutil.rmtree(work, ignore_errors=True)
    # The archives alone do not show that the models are alike: NeMo compares them.
    decode_mixtures(base, tuned, (), out, runtime, lambda _: MixturesWanted(ship=value))


def _make_work_folder(out: Path) -> Path:
    work = out.with_name(f".{out.name}.work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return work


def read_texts(path: Path, sets: Sequence[ChoosingAudio]) -> Texts:
    """Return what a job wrote of these sets.

    Raises:
        TranscriptionError: it has not a text for each recording.
    """
    written = json.loads(path.read_text(encoding="utf-8"))["hyps"]
    for one in sets:
        if len(written.get(one.name, ())) != len(one.audio.audio):
            raise TranscriptionError(
                f"{path.name}: {len(written.get(one.name, ()))} texts for the "
                f"{len(one.audio.audio)} recordings of {one.name}."
            )
    return {one.name: tuple(written[one.name]) for one in sets}
