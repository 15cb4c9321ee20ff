"""Depthwise convolutions of a folded encoder on a GPU: first and later calls in two layouts.

    python -m benchmarks.depthwise_shapes --out FILE.json [--shapes 20]

Each way has a process of its own, as libraries keep what they prepared. ``first_ms`` has the first
call with each of several shapes, ``second_ms`` the median of their second calls, ``steady_ms`` one
call of many with one large shape, laid out as what follows needs it.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.provenance import provenance
from tasks.common import atomic_files
from tasks.runtimes import hardware
from tasks.runtimes.base import ENTRY

# Layouts of memory: a pixel's channels together, and each channel by itself.
TOGETHER, APART = WAYS = ("channels_last", "contiguous_format")
_TAPS = 9
_BANDS = 40
_STEADY_CALLS = 20
# Number format, channels, whether of the subsampling, recordings and frames of the large shape: the
# layers and the subsampling of the small bases and of the 617 M graph.
_CASES = {
    "layers, small": ("float32", 176, False, (128, 200)),
    "subsampling, small": ("float32", 64, True, (128, 400)),
    "layers, 617M": ("bfloat16", 1024, False, (64, 190)),
    "subsampling, 617M": ("bfloat16", 256, True, (64, 760)),
    "layers, 617M in 32 bits": ("float32", 1024, False, (64, 190)),
}


def work(way: str, shapes: int) -> None:
    """Be the process of one way; print what was found."""
    import torch  # noqa: PLC0415 - the measuring process holds no GPU

    sys.path.insert(0, str(ENTRY))
    import depthwise  # type: ignore[import-not-found]  # noqa: PLC0415 - it imports torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.allow_tf32 = False
    layout = getattr(torch, way)

    def wait() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def timed(arguments: tuple[Any, ...], calls: int = 1) -> float:
        started = wait()
        for _ in range(calls):
            depthwise.convolve_in(layout, *arguments)
        return (wait() - started) * 1000 / calls

    def make(
        dtype: str, channels: int, rows: int, frames: int, *, subsampling: bool
    ) -> tuple[Any, ...]:
        size = (rows, frames, _BANDS) if subsampling else (rows, 1, frames)
        taps = (3, 3) if subsampling else (1, _TAPS)
        of = {"device": device, "dtype": getattr(torch, dtype)}
        return (
            torch.randn(*size, channels, **of),
            torch.randn(channels, *taps, **of),
            torch.randn(channels, **of),
            (1, 1) if subsampling else (0, _TAPS // 2),
            2 if subsampling else 1,
        )

    found: dict[str, Any] = {}
    for name, (dtype, channels, subsampling, large) in _CASES.items():
        draw = random.Random(3)  # noqa: S311 - shapes
        calls = []
        for _ in range(shapes):
            size = draw.randint(8, 160), draw.randint(60, 320)
            one = make(dtype, channels, *size, subsampling=subsampling)
            calls.append((timed(one), timed(one)))
        one = make(dtype, channels, *large, subsampling=subsampling)
        timed(one, 3)
        found[name] = {
            "first_ms": [round(first, 2) for first, _ in calls],
            "second_ms": round(statistics.median(second for _, second in calls), 3),
            "steady_ms": round(timed(one, _STEADY_CALLS), 3),
        }
    print(json.dumps(found))


def main() -> None:
    """Measure each way; print and write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shapes", type=int, default=20)
    parser.add_argument("--worker", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.shapes)
        return
    report: dict[str, Any] = provenance(hardware.detect())
    for way in WAYS:
        line = [sys.executable, "-m", "benchmarks.depthwise_shapes", "--out", str(args.out)]
        line += ["--shapes", str(args.shapes), "--worker", way]
        done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
        report[way] = json.loads(done.stdout.splitlines()[-1])
    for name in _CASES:
        together, apart = report[TOGETHER][name], report[APART][name]
        print(
            f"{name}: first call {statistics.median(together['first_ms']):.2f} ms together, "
            f"{statistics.median(apart['first_ms']):.2f} apart; later "
            f"{apart['steady_ms'] / together['steady_ms']:.1f} times apart",
            flush=True,
        )
    atomic_files.write_json(args.out, report)


if __name__ == "__main__":
    main()
