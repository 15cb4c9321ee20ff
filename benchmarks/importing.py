"""What an import costs: rows a second without a change, and conversion against real time.

    python -m benchmarks.importing [--rows N] [--seconds S] [--json FILE]

One worker, so that the figures are those of one core; both are also given by the processor's time,
which a machine that does other things does not spoil. The bundled voices are not used: noise, loud
and quiet as speech is, compresses worse.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from tasks.common import atomic_files
from tasks.data.importers.import_settings import ImportSettings
from tasks.data.importers.importing import import_source

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOUNDS = 50
_ROW_SECONDS = 4.0
_FORMATS = (
    ("WAV 44.1 kHz", "wav", 44100, "PCM_16"),
    ("WAV 8 kHz", "wav", 8000, "ULAW"),
    ("FLAC 48 kHz 24 bit", "flac", 48000, "PCM_24"),
    ("MP3 44.1 kHz", "mp3", 44100, "MPEG_LAYER_III"),
)


@dataclass(frozen=True, slots=True)
class ImportCost:
    """One measurement.

    Attributes:
        what: what was imported.
        rows: how many.
        sound_s: seconds of sound.
        wall_s: by the clock.
        processor_s: of this process and those that it started.
        peak_mib: the largest memory of the process that imports.
    """

    what: str
    rows: int
    sound_s: float
    wall_s: float
    processor_s: float
    peak_mib: float

    def __str__(self) -> str:
        return (
            f"{self.what:<34} {self.rows:>7,} rows {self.rows / self.wall_s:>7.0f} rows/s "
            f"{self.rows / self.processor_s:>7.0f} rows/s of processor "
            f"{self.sound_s / self.processor_s:>7.0f} x real time of processor "
            f"{self.peak_mib:>6.0f} MiB"
        )


def _noise(seconds: float, rate: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    samples = np.random.default_rng(seed).uniform(-0.4, 0.4, round(seconds * rate))
    samples *= np.clip(np.abs(np.sin(np.arange(len(samples)) * 12 / rate)), 0.01, 1)
    return samples


def _measure(what: str, source: Path, folder: Path, *, check: bool) -> ImportCost:
    """Import in a process of its own, whose memory is not that of making the sound."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_import, what, source, folder, check=check).result()


def _import(what: str, source: Path, folder: Path, *, check: bool) -> ImportCost:
    began, worked = time.monotonic(), _processor_s()
    summary = import_source(source, folder / "cycle1", ImportSettings(check=check, workers=1))
    wall, processor = time.monotonic() - began, _processor_s() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shutil.rmtree(folder / "cycle1")
    return ImportCost(what, summary.rows, summary.seconds, wall, processor, peak)


def _processor_s() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def costs(rows: int, seconds: float) -> Iterator[ImportCost]:
    """Measure all cases.

    Args:
        rows: of the corpus without a change, segments of a few recordings.
        seconds: of sound that is converted in each format.
    """
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as name:
        folder = Path(name)
        files = folder / "unchanged"
        files.mkdir()
        distinct = min(rows, _SOUNDS)
        each = -(-rows // distinct)
        for number in range(distinct):
            noise = _noise(each * _ROW_SECONDS, 16000, number)
            soundfile.write(files / f"{number}.wav", noise, 16000, subtype="PCM_16")
        with (files / "manifest.jsonl").open("w") as out:
            for row in range(rows):
                record = {
                    "audio_filepath": f"{row // each}.wav",
                    "text": f"row {row}",
                    "offset": row % each * _ROW_SECONDS,
                    "duration": _ROW_SECONDS,
                }
                out.write(json.dumps(record) + "\n")
        source = files / "manifest.jsonl"
        yield _measure("no sample changes, no check", source, folder, check=False)
        yield _measure("no sample changes, with the check", source, folder, check=True)
        shutil.rmtree(files)
        cases = list(_FORMATS)
        for what, ending, rate, subtype in cases:
            files = folder / "converted"
            files.mkdir()
            count = max(round(seconds / 60), 1)
            for number in range(count):
                path = files / f"{number}.{ending}"
                soundfile.write(path, _noise(60, rate, number), rate, subtype=subtype)
            with (files / "manifest.jsonl").open("w") as out:
                for number in range(count):
                    record = {"audio_filepath": f"{number}.{ending}", "text": f"row {number}"}
                    out.write(json.dumps(record) + "\n")
            yield _measure(what, files / "manifest.jsonl", folder, check=False)
            if ending == "mp3" and shutil.which("ffmpeg") is not None:
                yield _by_ffmpeg(files, folder)
            shutil.rmtree(files)


def _by_ffmpeg(files: Path, folder: Path) -> ImportCost:
    """Measure the same sound as M4A, which ffmpeg reads."""
    for path in files.glob("*.mp3"):
        target = path.with_suffix(".m4a")
        subprocess.run(
            ["ffmpeg", "-v", "error", "-i", path, target],  # noqa: S607 - the user's ffmpeg
            check=True,
        )
    lines = (files / "manifest.jsonl").read_text().replace(".mp3", ".m4a")
    source = files / "m4a.jsonl"
    source.write_text(lines)
    return _measure("M4A 44.1 kHz by ffmpeg", source, folder, check=False)


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    measured = []
    for cost in costs(chosen.rows, chosen.seconds):
        print(cost, flush=True)
        measured.append(asdict(cost))
    if chosen.json:
        atomic_files.write_json(chosen.json, measured)


if __name__ == "__main__":
    main()
