"""Validation WER while compiled layers train, against plain layers: bases that learn something.

    python -m benchmarks.compiled_courses --out FILE.json [--seeds 0 1 2] [--bases ctc]

The embedded CTC and TDT bases are tuned on the demo's cycle, with each seed once by plain and once
by compiled layers with the fused AdamW, in turn. Base, rows, split and recipe are the same. Needs a
GPU and hibari-tts.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_flywheel.demo.dataset import synthesise_cycle
from tasks.common import atomic_files
from tasks.data.cycle_folder import open_cycle
from tasks.models.catalog import embedded_path
from tasks.runtimes.hardware import detect
from tasks.runtimes.local import LocalRuntime
from tasks.stages import prepare
from tasks.training import run as training_run
from tasks.training import sft
from tasks.training.recipes import Recipe
from tasks.training.run_info import versions

if TYPE_CHECKING:
    from tasks.data.training_set import TrainingSet

BASES = ("ctc", "tdt")
WAYS = {"plain": False, "compiled": True}
_VALIDATION_SHARE = 0.2
_SPLIT_SEED = 42


def base_path(kind: str) -> Path:
    """Return the embedded base of a kind."""
    return embedded_path().with_name(f"embedded_{kind}.nemo")


def train(
    base: Path, data: TrainingSet, folder: Path, recipe: Recipe, runtime: LocalRuntime
) -> dict[str, Any]:
    """Train once; return the course: losses, and WER after each epoch."""
    request = training_run.SftRequest(
        base=base,
        base_name=base.stem,
        data=data,
        recipe=recipe,
        model_dir=folder / "models" / "course",
        audio_roots=(folder,),
        key="course",
    )
    started = time.monotonic()
    result = sft.train(request, runtime, lambda _: None)
    events = atomic_files.read_jsonl(result.info.with_name(training_run.EVENTS_NAME))
    shutil.rmtree(folder / "models")
    epochs = [event for event in events if event["event"] == "epoch"]
    (start, *_) = [event for event in events if event["event"] == "start"]
    return {
        "wall_s": round(time.monotonic() - started, 1),
        "val_wer": [round(epoch["val_wer"], 4) for epoch in epochs],
        "val_loss": [epoch["val_loss"] for epoch in epochs],
        "train_loss": [round(epoch["train_loss"], 4) for epoch in epochs],
        "compiled_layers": start["compiled_layers"],
    }


def summarise(courses: list[dict[str, Any]]) -> dict[str, Any]:
    """Return each way's best WER by seed, and how far the ways are apart in each pair."""
    best = {
        way: {one["seed"]: min(one["val_wer"]) for one in courses if one["way"] == way}
        for way in WAYS
    }
    plain, compiled = best["plain"], best["compiled"]
    apart = [round(compiled[seed] - plain[seed], 4) for seed in plain if seed in compiled]
    return {
        "best val_wer": best,
        "compiled - plain": apart,
        "mean": round(statistics.mean(apart), 4) if apart else None,
        "spread of seeds, plain": round(statistics.stdev(plain.values()), 4)
        if len(plain) > 1
        else None,
    }


def main() -> None:
    """Make the cycle, train in turn, and write the file after each training."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--bases", nargs="+", choices=BASES, default=list(BASES))
    parser.add_argument("--budget-s", type=float, default=500.0)
    args = parser.parse_args()
    deadline = time.monotonic() + args.budget_s
    host = detect()
    if not host.has_gpu:
        parser.error("layers are compiled for a GPU, and there is none here")
    report: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "command": sys.argv[1:],
        "gpus": [gpu.name for gpu in host.gpus],
        "versions": versions(),
        "courses": [],
    }
    runtime = LocalRuntime(host)
    runtime.import_early()
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as temporary:
        cycle = open_cycle(synthesise_cycle(Path(temporary) / "cycle1").parent)
        checked = prepare.check(cycle, embedded_path(), Recipe())
        data = prepare.split(cycle, checked, _VALIDATION_SHARE, _SPLIT_SEED)
        longest = 0.0
        for kind in args.bases:
            for seed in args.seeds:
                for way, compiled in WAYS.items():
                    if time.monotonic() + longest > deadline:
                        continue
                    recipe = Recipe(
                        epochs=args.epochs, seed=seed, compiled=compiled, fused_adamw=compiled
                    )
                    course = train(base_path(kind), data, cycle.path, recipe, runtime)
                    longest = max(longest, course["wall_s"])
                    course = {"base": kind, "seed": seed, "way": way, **course}
                    report["courses"].append(course)
                    print(course, flush=True)
                    atomic_files.write_json(args.out, report)
    for kind in args.bases:
        report[kind] = summarise([one for one in report["courses"] if one["base"] == kind])
        print(kind, report[kind], flush=True)
    atomic_files.write_json(args.out, report)


# Synthesis spawns processes that import this module.
if __name__ == "__main__":
    main()
