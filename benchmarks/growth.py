"""Time and memory by size of the set: the split's rows, the preflight's files.

    python -m benchmarks.growth [--rows 10000 …] [--files 1000 …] [--out FILE.json]

Every size runs in a process of its own, whose peak memory is what the system says. Times are
processor seconds, those of the preflight's readers included, so that a busy machine does not
decide. The files are real WAV files of half a second on a file system in memory, each different.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.splitting import manifest_rows
from tasks.common import atomic_files
from tasks.data.audio_checks import AudioLimits
from tasks.data.preflight import preflight
from tasks.data.split import split_rows

ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
FILES = (1_000, 10_000, 100_000)
_RATE = 16_000
_SAMPLES = _RATE // 2
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's file system in memory


def split(count: int) -> dict[str, Any]:
    """Split so many rows; what the rows themselves take is told apart."""
    rows = manifest_rows(count)
    rows_mib = _peak_mib()
    began = time.process_time()
    divided = split_rows(rows)
    seconds = time.process_time() - began
    return {
        "what": "split",
        "size": count,
        "seconds": round(seconds, 3),
        "microseconds_each": round(1e6 * seconds / count, 2),
        "peak_mib": _peak_mib(),
        "of_it_the_rows": rows_mib,
        "held_out": len(divided.validation),
    }


def check(count: int) -> dict[str, Any]:
    """Time the preflight of so many files."""
    place = _IN_MEMORY if _IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-", dir=place) as temporary:
        folder = Path(temporary) / "cycle1"
        manifest = _write_recordings(folder, count)
        began, wall = _process_seconds(), time.monotonic()
        result = preflight(manifest, AudioLimits(_RATE), None)
        seconds, wall = _process_seconds() - began, time.monotonic() - wall
        result.raise_errors()
        return {
            "what": "preflight",
            "size": len(result.rows),
            "seconds": round(seconds, 3),
            "microseconds_each": round(1e6 * seconds / count, 2),
            "wall_s": round(wall, 2),
            "peak_mib": _peak_mib(),
        }


def _process_seconds() -> float:
    return sum(os.times()[:4])


def _write_recordings(folder: Path, count: int) -> Path:
    """Write so many different WAV files and their manifest."""
    import numpy as np  # noqa: PLC0415 - the split does without
    import soundfile  # noqa: PLC0415

    (folder / "audio").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(-9000, 9000, _SAMPLES + count, dtype=np.int16)
    rows = []
    for number in range(count):
        name = f"audio/{number:06}.wav"
        soundfile.write(folder / name, noise[number : number + _SAMPLES], _RATE)
        rows.append(
            {
                "audio_filepath": name,
                "text": f"the patient takes medicine number {number}",
                "duration": None,
                "entity_category": "drug",
            }
        )
    atomic_files.write_jsonl(folder / "manifest.jsonl", rows)
    return folder / "manifest.jsonl"


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    """Run every size and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=ROWS)
    parser.add_argument("--files", type=int, nargs="*", default=FILES)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        kind, size = args.one
        print(json.dumps({"split": split, "preflight": check}[kind](int(size))))
        return
    results = []
    sizes = [("split", size) for size in args.rows] + [("preflight", size) for size in args.files]
    for kind, size in sizes:
        line = [sys.executable, "-m", "benchmarks.growth", "--one", kind, str(size)]
        process = subprocess.run(line, capture_output=True, text=True, check=True)
        results.append(json.loads(process.stdout.splitlines()[-1]))
        print(results[-1], flush=True)
        if args.out is not None:
            args.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
