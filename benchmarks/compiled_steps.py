"""A training step of the 617 M Parakeet-TDT graph: plain, compiled, and captured by hand.

    python -m benchmarks.compiled_steps --out FILE.json

A bare loop: features, SpecAugment, encoder, decoder, joint and loss, backward pass, clipping,
AdamW, in bf16 autocast, with random weights and rows of tones, whose words can be learned. Each
variant has a process of its own. All are started at once; they load NeMo and compile at the same
time. Then they take a part in turn, before the next part begins. Parts: ``fixed``, rows of one
length; ``sections``, the same with a wait behind each piece of the step; ``mixed``, rows of 1 to
20 s; ``curves``, the loss of each step from some seeds, whose batches are the same in every
variant. A variant that exceeds its share of a part is ended, so that it takes no time from the
others; what is reached within ``--budget-s`` is written as it comes. Variants that replay graphs
tell how many they recorded while they were measured, which should be none, and
``FILE-NUMBER.log`` has the compiler's reasons.
``--small`` takes the small RNN-T base, as the demo's on a GPU. ``--tiny`` takes it on a CPU: that
proves the benchmark, not the product.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.provenance import provenance
from benchmarks.training_step import (
    CAPTURED,
    COMPILED,
    COMPILED_ALL,
    COMPILED_IN_PIECES,
    FUSED,
    JOINED,
    KEPT,
    PLAIN,
    RECORDED,
    Steps,
    make_batches,
)
from benchmarks.variant_process import DONE, VariantProcess
from tasks.common import atomic_files
from tasks.runtimes import hardware

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIANTS = (PLAIN, COMPILED, COMPILED_IN_PIECES, *KEPT, CAPTURED, RECORDED, JOINED, FUSED)
SHIPPED = (PLAIN, COMPILED, COMPILED_IN_PIECES, COMPILED_ALL, CAPTURED, JOINED, FUSED)
PARTS = ("fixed", "sections", "mixed", "curves")
# What each variant is measured with: a capture by hand is good for one shape.
_PARTS_OF = {CAPTURED: ("fixed", "sections"), JOINED: ("fixed",), FUSED: ("fixed",)}


def memory(steps: Steps) -> dict[str, float]:
    """Return the peaks since the process began, in GiB, as its allocator has them."""
    if steps.args.tiny:
        return {}
    cuda = steps.torch.cuda
    return {
        "allocated_gib": round(cuda.max_memory_allocated() / 2**30, 2),
        "reserved_gib": round(cuda.max_memory_reserved() / 2**30, 2),
    }


def count_recordings(steps: Steps) -> int:
    """Return the graphs that the compiler's code has recorded so far."""
    # It imports torch, which the parent does without.
    import compiled_encoder  # type: ignore[import-not-found]  # noqa: PLC0415

    return 0 if steps.args.tiny else int(compiled_encoder.count_recordings())


def compiler_counts(steps: Steps) -> dict[str, Any]:
    """Return what the compiler counted of graphs that it skipped or broke."""
    counters = steps.torch._dynamo.utils.counters  # noqa: SLF001 - the documented place
    wanted = ("unique_graphs", "cudagraph_skips", "cudagraph_recorded_non_static_inputs")
    return {
        name: count for group in counters.values() for name, count in group.items()
        if name in wanted
    }  # fmt: skip


def fixed(steps: Steps) -> Iterator[dict[str, Any]]:
    """Time steps of rows of one length, in groups of ten."""
    args = steps.args
    rows = [args.seconds] * args.batch
    steps.start(rows)
    batches = list(make_batches(steps, [rows] * 4, 0))
    at_first = count_recordings(steps)
    losses = []
    warm_up = []
    for number in range(args.warm_up):
        started = time.perf_counter()
        losses.append(steps.step(batches[number % 4]))
        steps.wait()
        warm_up.append(round(time.perf_counter() - started, 4))
    warm = count_recordings(steps)
    groups = []
    for _ in range(args.groups):
        started = time.perf_counter()
        losses += [steps.step(batches[number % 4]) for number in range(10)]
        steps.wait()
        groups.append((time.perf_counter() - started) / 10)
    yield {
        "step_s": round(statistics.median(groups), 4),
        "steps_s": [round(seconds, 4) for seconds in groups],
        "warm_up_s": warm_up,
        "compile_s": round(steps.compile_s, 1),
        # When compiled, while it warmed up, and while it was measured.
        "recorded": [at_first, warm - at_first, count_recordings(steps) - warm],
        "compiler": {} if steps.compiled is None else compiler_counts(steps),
        "frames": None if steps.shapes is None else list(steps.shapes.frames),
        **memory(steps),
        "losses": [round(float(loss), 4) for loss in losses],
    }


def sections(steps: Steps) -> Iterator[dict[str, Any]]:
    """Time the pieces of a step, with a wait behind each: they no longer overlap."""
    args = steps.args
    (batch,) = make_batches(steps, [[args.seconds] * args.batch], 0)
    spent: dict[str, list[float]] = {}
    at = time.perf_counter()

    def mark(name: str) -> None:
        nonlocal at
        steps.wait()
        spent.setdefault(name, []).append(time.perf_counter() - at)
        at = time.perf_counter()

    for _ in range(args.warm_up + 5):
        steps.wait()
        at = time.perf_counter()
        steps.step(batch, mark)
    yield {name: round(statistics.median(values), 4) for name, values in spent.items()}


def mixed(steps: Steps) -> Iterator[dict[str, Any]]:
    """Time batches of rows of 1 to 20 s, all of them twice."""
    args, rng = steps.args, random.Random(1)  # noqa: S311 - lengths
    seconds = [rng.uniform(1.0, args.longest) for _ in range(args.batch * args.mixed_batches)]
    steps.start(seconds)
    grouped = [seconds[at : at + args.batch] for at in range(0, len(seconds), args.batch)]
    batches = list(make_batches(steps, grouped, 0))
    passes = []
    for _ in range(3):
        steps.wait()
        started = time.perf_counter()
        for batch in batches:
            steps.step(batch)
        steps.wait()
        passes.append((time.perf_counter() - started) / len(batches))
    yield {
        "step_s": round(min(passes[1:]), 4),
        "passes_s": [round(value, 4) for value in passes],
        "compile_s": round(steps.compile_s, 1),
        "frames": None if steps.shapes is None else list(steps.shapes.frames),
        "padding": None if steps.shapes is None else steps.shapes.padding,
        "misfits": None if steps.compiled is None else steps.compiled.padding.misfits,
        **memory(steps),
    }


def curves(steps: Steps) -> Iterator[dict[str, Any]]:
    """Train from the same weights with each seed, on rows of 2 s to the fixed length.

    All are padded to the one shape of the fixed length.
    """
    args = steps.args
    found: dict[str, Any] = {}
    for seed in range(args.seeds):
        rng = random.Random(seed)  # noqa: S311 - lengths
        grouped = [
            [rng.uniform(2.0, args.seconds) for _ in range(args.batch)]
            for _ in range(args.curve_batches)
        ]
        steps.start([args.seconds] * args.batch)
        steps.seed(seed)
        batches = list(make_batches(steps, grouped, seed))
        steps.wait()
        started = time.perf_counter()
        losses = [steps.step(batches[number % len(batches)]) for number in range(args.curve_steps)]
        steps.wait()
        found[str(seed)] = {
            "seconds": round(time.perf_counter() - started, 2),
            "losses": [round(float(loss), 4) for loss in losses],
        }
        print(json.dumps({"seed": seed, "last": found[str(seed)]["losses"][-3:]}), flush=True)
        yield found


def work(variant: str, args: argparse.Namespace) -> None:
    """Be the process of one variant: load, wait for a line, measure, write after each part."""
    figures: dict[str, Any] = {}

    def keep() -> None:
        atomic_files.write_json(Path(args.worker_out), figures)

    try:
        steps = Steps(variant, args)
        steps.start([args.seconds] * args.batch)
        print(DONE, flush=True)
        for line in sys.stdin:
            part = line.strip()
            started = time.monotonic()
            try:
                for found in globals()[part](steps):
                    figures[part] = found
                    keep()
            except Exception:  # noqa: BLE001 - the next part may do
                figures[part] = {"failed": traceback.format_exc()[-3000:]}
            figures[part]["part_s"] = round(time.monotonic() - started, 1)
            told = {name: value for name, value in figures[part].items() if name != "losses"}
            keep()
            print(json.dumps({variant: {part: told if part != "curves" else "done"}}), flush=True)
            print(DONE, flush=True)
    except Exception:  # noqa: BLE001 - told, and the other variants go on
        figures["failed"] = traceback.format_exc()[-3000:]
        print(json.dumps({variant: figures["failed"]}), flush=True)
        keep()


def compare_curves(variants: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the mean loss of the last tenth of each curve, and how far the variants are apart."""
    ends: dict[str, dict[str, float]] = {}
    for variant, figures in variants.items():
        for seed, curve in figures.get("curves", {}).items():
            if isinstance(curve, dict) and "losses" in curve:
                tail = curve["losses"][-max(1, len(curve["losses"]) // 10) :]
                ends.setdefault(variant, {})[seed] = round(statistics.mean(tail), 4)
    return ends


def main() -> None:
    """Start a process for each variant, let them measure in turn, and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(SHIPPED))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=15.0, help="Of a row of one length.")
    parser.add_argument("--longest", type=float, default=20.0, help="Of the mixed rows.")
    parser.add_argument("--warm-up", type=int, default=6, help="Steps.")
    parser.add_argument("--groups", type=int, default=4, help="Of ten steps.")
    parser.add_argument("--mixed-batches", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--curve-steps", type=int, default=120)
    parser.add_argument("--curve-batches", type=int, default=40)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--load-s", type=float, default=150.0, help="To load and compile.")
    parser.add_argument("--part-s", type=float, default=120.0, help="Of a variant, for a part.")
    parser.add_argument("--budget-s", type=float, default=420.0, help="For everything.")
    parser.add_argument("--small", action="store_true", help="A small base.")
    parser.add_argument("--tiny", action="store_true", help="A small base on a CPU.")
    parser.add_argument("--worker", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--worker-out", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        work(args.worker, args)
        return
    deadline = time.monotonic() + args.budget_s
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as temporary:
        _measure(args, deadline, Path(temporary))


def _measure(args: argparse.Namespace, deadline: float, folder: Path) -> None:
    report = {**provenance(hardware.detect()), "variants": {}}
    environment = dict(os.environ)
    if args.tiny:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    workers = [
        VariantProcess(variant, folder / str(number), args, environment)
        for number, variant in enumerate(args.variants)
    ]
    started = time.monotonic()

    def keep() -> None:
        for worker in workers:
            report["variants"][worker.variant] = worker.figures()
        report["curve ends"] = compare_curves(report["variants"])
        atomic_files.write_json(args.out, report)

    try:
        for worker in workers:
            # Whoever still loads or compiles would be in the way of those that measure.
            worker.wait(min(started + args.load_s, deadline) - time.monotonic(), "load")
        report["loaded_s"] = round(time.monotonic() - started, 1)
        for part in args.parts:
            for worker in workers:
                if part in _PARTS_OF.get(worker.variant, PARTS):
                    worker.take(part, min(args.part_s, deadline - time.monotonic()))
                    keep()
    finally:
        for worker in workers:
            worker.end()
    keep()
    _tell(report, workers)


def _tell(report: dict[str, Any], workers: list[VariantProcess]) -> None:
    """Print the figures and the compiler's reasons."""
    for worker in workers:
        if reasons := worker.reasons():
            print(f"{worker.variant}, by the compiler:", *reasons, sep="\n  ")
    table = {
        variant: {
            part: {name: value for name, value in figures[part].items() if name != "losses"}
            for part in ("fixed", "sections", "mixed")
            if part in figures
        }
        for variant, figures in report["variants"].items()
    }
    print(json.dumps({"figures": table, "curve ends": report.get("curve ends")}, indent=1))


if __name__ == "__main__":
    main()
