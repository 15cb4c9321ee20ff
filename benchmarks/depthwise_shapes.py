"""Depthwise convolutions of a folded encoder on a GPU: our kernels and PyTorch's cuDNN.

    python -m benchmarks.depthwise_shapes --out FILE.json [--shapes 20]

Over time a convolution comes with the gate before it and the activation behind it, as a layer
computes them. Each way has a process of its own, as libraries keep what they prepared.
``compile_ms`` is what our kernels take once. ``first_ms`` has the first call with each of several
shapes, ``second_ms`` the median of their second calls, ``steady_ms`` one call of many with one
large shape. On a CPU PyTorch runs alone; that proves the benchmark.
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
from typing import TYPE_CHECKING, Any

from benchmarks.provenance import provenance
from tasks.common import atomic_files
from tasks.runtimes import hardware
from tasks.runtimes.base import ENTRY

if TYPE_CHECKING:
    from collections.abc import Callable

KERNELS, PYTORCH = WAYS = ("kernels", "PyTorch")
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
    # They import torch.
    import depthwise_kernels  # type: ignore[import-not-found]  # noqa: PLC0415
    import folded_layers  # type: ignore[import-not-found]  # noqa: PLC0415

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.allow_tf32 = False

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def timed(compute: Callable[[], Any], calls: int = 1) -> float:
        started = now()
        for _ in range(calls):
            compute()
        return (now() - started) * 1000 / calls

    def of_subsampling(rows: int, frames: int, channels: int, how: Any, **of: Any) -> Any:  # noqa: ANN401
        image = torch.randn(rows, frames, _BANDS, channels, **of)
        kernel, bias = torch.randn(channels, 3, 3, **of), torch.randn(channels, **of)
        return lambda: folded_layers.halve(image, kernel, bias, how)

    def of_layers(rows: int, frames: int, channels: int, how: Any, **of: Any) -> Any:  # noqa: ANN401
        gated = torch.randn(rows, frames, 2 * channels, **of)
        weight, bias = torch.randn(channels, _TAPS, **of), torch.randn(channels, **of)
        counts = torch.full((rows,), frames, device=device)
        own = torch.ones(rows, frames, 1, **of)
        extent = folded_layers.Extent(counts, own, own)
        return lambda: folded_layers.gate_and_convolve(gated, weight, bias, extent, how)

    found: dict[str, Any] = {}
    for name, (dtype, channels, subsampling, large) in _CASES.items():
        kind = getattr(torch, dtype)
        started, kernels = now(), None
        if way == KERNELS:
            kernels = depthwise_kernels.compile_kernels(device, kind, _TAPS, (channels,))
        compiled_ms = (now() - started) * 1000
        padding = (_TAPS // 2, _TAPS // 2)
        how = folded_layers.Settings(heads=1, padding=padding, kernels=kernels)
        make = of_subsampling if subsampling else of_layers
        draw = random.Random(3)  # noqa: S311 - shapes
        calls = []
        with torch.inference_mode():
            for _ in range(shapes):
                size = draw.randint(8, 160), draw.randint(60, 320)
                one = make(*size, channels, how, device=device, dtype=kind)
                calls.append((timed(one), timed(one)))
            one = make(*large, channels, how, device=device, dtype=kind)
            timed(one, 3)
            found[name] = {
                "compile_ms": round(compiled_ms, 1),
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
    host = hardware.detect()
    report: dict[str, Any] = provenance(host)
    for way in WAYS if host.has_gpu else (PYTORCH,):
        line = [sys.executable, "-m", "benchmarks.depthwise_shapes", "--out", str(args.out)]
        line += ["--shapes", str(args.shapes), "--worker", way]
        done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
        report[way] = json.loads(done.stdout.splitlines()[-1])
        atomic_files.write_json(args.out, report)
    for name in _CASES:
        by = {way: report[way][name] for way in WAYS if way in report}
        first = {way: statistics.median(found["first_ms"]) for way, found in by.items()}
        ratio = by[PYTORCH]["steady_ms"] / by[KERNELS]["steady_ms"] if KERNELS in by else None
        print(f"{name}: first call, ms: {first}; PyTorch later / ours: {ratio}", flush=True)


if __name__ == "__main__":
    main()
