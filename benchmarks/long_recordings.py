"""How well and how fast a long recording is cut into rows, against the cuts that are known.

    python -m benchmarks.long_recordings [--minutes N] [--faults N] [--base NAME] [--seed N]
        [--json FILE]

A recording of one sentence after the other is made with the bundled voice: clinical sentences with
their terms and ordinary ones, two voices, pauses of a quarter of a second to a dozen seconds, pink
noise 25 dB under the speech. `asr-flywheel import --cut` cuts it. A word is in the right row if
the row's span holds the whole sentence that the word is from, and no other row has that word.

With ``--faults N`` the transcript lacks N of the sentences and has N others that nobody says: how
many of the rows with such words are set apart, and how many of the others?
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asr_flywheel.demo import dataset, synthesis
from tasks.common import atomic_files

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_RIGHT = 0.98
_SENTENCES = 600
_NOISE_DB = 25.0
_TOLERANCE_S = 0.02
_FRAME = synthesis.SAMPLE_RATE // 100
_SAMPLE_S = 0.5
_MIB = 1 << 20
_LONG_PAUSES = 0.03
"""The share of pauses of 5 to 12 s."""


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """A sentence of the recording.

    Attributes:
        text: its words.
        start: seconds; 0 where nobody says it.
        end: likewise.
        is_spoken: whether the recording has it.
        is_written: whether the transcript has it.
    """

    text: str
    start: float
    end: float
    is_spoken: bool = True
    is_written: bool = True


@dataclass(frozen=True, slots=True)
class CuttingResult:
    """One measurement.

    Attributes:
        minutes: of the recording.
        words: of the transcript that were said.
        right: of these, in the right row.
        rows: in the manifest.
        set_apart: rows set apart.
        faulty: rows with a planted fault.
        faulty_set_apart: of these, set apart.
        sound_set_apart: rows set apart without a planted fault.
        without_transcript_s: seconds told to have no transcript.
        longest_s: the longest row.
        wall_s: of the whole command.
        processor_s: of all its processes.
        peak_mib: resident memory of all its processes together.
    """

    minutes: float
    words: int
    right: int
    rows: int
    set_apart: int
    faulty: int
    faulty_set_apart: int
    sound_set_apart: int
    without_transcript_s: float
    longest_s: float
    wall_s: float
    processor_s: float
    peak_mib: float

    def __str__(self) -> str:
        return (
            f"{self.minutes:.1f} min, {self.words} words: {self.right / self.words:.2%} in the "
            f"right row; {self.rows} rows and {self.set_apart} set apart, the longest "
            f"{self.longest_s:.1f} s; {60 * self.minutes / self.wall_s:.1f} x real time "
            f"({self.wall_s:.0f} s by the clock, {self.processor_s:.0f} s of processor), "
            f"peak {self.peak_mib:.0f} MiB\n"
            f"planted faults in {self.faulty} rows, {self.faulty_set_apart} of them set apart; "
            f"{self.sound_set_apart} others set apart; {self.without_transcript_s:.0f} s told to "
            "have no transcript"
        )


def make_recording(folder: Path, minutes: float, faults: int, seed: int) -> list[SpokenSentence]:
    """Write a recording and its transcript; return its sentences, those of the transcript too."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    utterances = [row.utterance for n in range(5) for row in dataset.plan_cycle(seed + n)]
    # Sentences that were added later would make other recordings than those of the log.
    utterances += dataset.plan_general(seed)[:_SENTENCES]
    rng.shuffle(utterances)
    voices = [
        utterances[0].voice,
        next(u.voice for u in utterances if u.voice != utterances[0].voice),
    ]
    parts: list[Any] = [np.zeros(synthesis.SAMPLE_RATE // 2, np.float32)]
    at = len(parts[0])
    sentences: list[SpokenSentence] = []
    while at < 60 * minutes * synthesis.SAMPLE_RATE:
        utterance = utterances[len(sentences)]
        clean = replace(utterance, voice=rng.choice(voices), noise_level="clean")
        sound = _trim(dataset.speak(clean))
        start = at / synthesis.SAMPLE_RATE
        at += len(sound)
        end = at / synthesis.SAMPLE_RATE
        sentences.append(SpokenSentence(utterance.text, start, end))
        draw = rng.random()
        pause_s = rng.uniform(5, 12) if draw > 1 - _LONG_PAUSES else rng.uniform(0.25, 1.5)
        parts += [sound, np.zeros(round(pause_s * synthesis.SAMPLE_RATE), np.float32)]
        at += len(parts[-1])
    planted = rng.sample(range(1, len(sentences) - 1), 2 * faults)
    for place in planted[:faults]:
        sentences[place] = replace(sentences[place], is_written=False)
    others = iter(utterances[len(sentences) :])
    for place in sorted(planted[faults:], reverse=True):
        said = SpokenSentence(next(others).text, 0.0, 0.0, is_spoken=False)
        sentences.insert(place, said)
    speech = np.concatenate(parts)
    noise = _pink(len(speech), np.random.default_rng(seed))
    loud = float(np.sqrt(np.mean(np.square(speech[np.abs(speech) > 0]))))
    speech += noise * np.float32(loud / 10 ** (_NOISE_DB / 20))
    synthesis.write_wav(folder / "visit.wav", speech * np.float32(0.9 / np.abs(speech).max()))
    text = "\n".join(sentence.text for sentence in sentences if sentence.is_written)
    (folder / "visit.txt").write_text(text, encoding="utf-8")
    return sentences


def _trim(sound: Any) -> Any:  # noqa: ANN401 - samples
    """Return a sentence without the synthesiser's silence: all that is 40 dB under its loudest."""
    power = np.square(sound[: len(sound) // _FRAME * _FRAME].reshape(-1, _FRAME)).mean(axis=1)
    loud = np.flatnonzero(power > power.max() / 10**4)
    return sound[loud[0] * _FRAME : (loud[-1] + 1) * _FRAME]


def _pink(length: int, rng: np.random.Generator) -> Any:  # noqa: ANN401 - likewise
    """Return noise of unit power whose power falls by 3 dB an octave, shape (length,)."""
    size = 1 << 20
    spectrum = np.fft.rfft(rng.standard_normal(size)) / np.sqrt(np.arange(1, size // 2 + 2))
    noise = np.fft.irfft(spectrum)
    return np.resize(noise / noise.std(), length).astype(np.float32)


class _MemoryMeter(threading.Thread):
    """Samples the resident memory of a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._pid = pid
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(_SAMPLE_S):
            self.peak = max(self.peak, _tree_bytes(self._pid))


def _tree_bytes(root: int) -> int:
    """Return the memory of a process and of all below it; of shared pages each has its part."""
    total = 0
    for pid in [root, *_descendants(root)]:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from _descendants(child)


def measure(minutes: float, faults: int, base: str, seed: int, work: Path) -> CuttingResult:
    """Make a recording, cut it, and compare."""
    source = work / "source"
    source.mkdir()
    sentences = make_recording(source, minutes, faults, seed)
    command = [sys.executable, "-m", "asr_flywheel", "import", str(source), str(work / "cycle1")]
    command += ["--cut", "--cut-base", base]
    began, times = time.monotonic(), os.times()
    process = subprocess.Popen(command, stdout=sys.stderr)
    meter = _MemoryMeter(process.pid)
    meter.start()
    if process.wait():
        sys.exit("the import failed")
    meter.ended.set()
    wall_s, after = time.monotonic() - began, os.times()
    processor_s = after.children_user + after.children_system
    processor_s -= times.children_user + times.children_system
    return compare(work / "cycle1", sentences, wall_s, processor_s, meter.peak / _MIB)


def compare(
    cycle: Path,
    sentences: list[SpokenSentence],
    wall_s: float,
    processor_s: float,
    peak_mib: float,
) -> CuttingResult:
    """Compare the rows of a cycle with the sentences that are known."""
    provenance = {row["audio_filepath"]: row for row in _jsonl(cycle / "provenance.jsonl")}
    kept = {row["audio_filepath"]: row["text"] for row in _jsonl(cycle / "manifest.jsonl")}
    apart: dict[str, str] = {}
    if (sheet := cycle / "import_set_apart.csv").is_file():
        with sheet.open(encoding="utf-8-sig", newline="") as stream:
            apart = {row["audio_filepath"]: row["text"] for row in csv.DictReader(stream)}
    texts = {**kept, **apart}
    order = sorted(texts, key=lambda name: provenance[name]["start"])
    said = [s for s in sentences if s.is_written for _ in s.text.split()]
    words = [word for s in sentences if s.is_written for word in s.text.split()]
    right = place = faulty = faulty_apart = 0
    for name in order:
        start, end = provenance[name]["start"], provenance[name]["end"]
        row_words = texts[name].split()
        if words[place : place + len(row_words)] != row_words:
            raise AssertionError(f"{name}: its words are not those of the transcript")
        own = said[place : place + len(row_words)]
        place += len(row_words)
        right += sum(
            s.is_spoken and start - _TOLERANCE_S <= s.start and s.end <= end + _TOLERANCE_S
            for s in own
        )
        lacks = any(not s.is_written and start < (s.start + s.end) / 2 < end for s in sentences)
        is_faulty = lacks or any(not s.is_spoken for s in own)
        faulty += is_faulty
        faulty_apart += is_faulty and name in apart
    if place != len(words):
        raise AssertionError("words of the transcript are in no row")
    cuts = atomic_files.read_json(cycle / "import_cuts.json")["recordings"][0]
    unheard = sum(end - start for start, end in cuts["without_transcript"])
    spans = [provenance[name]["end"] - provenance[name]["start"] for name in texts]
    return CuttingResult(
        round(cuts["seconds"] / 60, 2),
        sum(s.is_spoken for s in said),
        right,
        len(kept),
        len(apart),
        faulty,
        faulty_apart,
        len(apart) - faulty_apart,
        round(unheard, 1),
        round(max(spans), 2),
        round(wall_s, 1),
        round(processor_s, 1),
        round(peak_mib),
    )


def _jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--faults", type=int, default=0)
    parser.add_argument("--base", default="embedded")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="long-recordings-") as folder:
        result = measure(options.minutes, options.faults, options.base, options.seed, Path(folder))
    print(result)
    if options.json:
        atomic_files.write_json(options.json, asdict(result))
    if result.right < LEAST_RIGHT * result.words:
        sys.exit(f"under {LEAST_RIGHT:.0%} of the words are in the right row")


if __name__ == "__main__":
    main()
