"""The stock script with our override list on the 617 M Parakeet-TDT graph, batch by batch.

    python -m benchmarks.sft_on_gpu --stock-script …/speech_to_text_finetune.py --out FILE.json

The weights are random, so that no download is needed; time and memory depend on the graph alone.
Two sets of rows: the demo's (about 3 s each), whose loss must fall, and rows as long as the recipe
lets through (just under 20 s), which say what fits. Needs a GPU, NeMo and hibari-tts.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asr_flywheel.demo.dataset import synthesise_cycle
from benchmarks.entrypoint_imports import parakeet_graph
from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data.cycle_folder import Cycle, open_cycle
from tasks.runtimes import hardware
from tasks.runtimes.failures import FaultError
from tasks.runtimes.local import LocalRuntime
from tasks.stages import prepare
from tasks.training import run as training_run
from tasks.training import sft
from tasks.training.recipes import Recipe

LONGEST_S = 19.8


def long_rows(source: Cycle, folder: Path, count: int) -> Cycle:
    """Make a cycle of rows just under the recipe's limit, joined from another cycle's rows."""
    rows = atomic_files.read_jsonl(source.manifest)
    audio = [soundfile.read(source.path / row["audio_filepath"], dtype="int16")[0] for row in rows]
    target = folder / "cycle1"
    (target / "audio").mkdir(parents=True)
    lines = []
    place = 0
    for number in range(count):
        first = rows[place % len(rows)]
        pieces: list[np.ndarray[Any, Any]] = []
        words: list[str] = []
        while sum(map(len, pieces)) + len(audio[place % len(rows)]) < LONGEST_S * 16_000:
            pieces.append(audio[place % len(rows)])
            words.append(rows[place % len(rows)]["text"])
            place += 1
        joined = np.concatenate(pieces)
        joined = np.pad(joined, (0, int(LONGEST_S * 16_000) - len(joined)))
        name = f"audio/{number:04}.wav"
        soundfile.write(target / name, joined, 16_000)
        lines.append(
            {
                **first,
                "audio_filepath": name,
                "text": " ".join(words),
                "duration": len(joined) / 16_000,
            }
        )
    atomic_files.write_jsonl(target / "manifest.jsonl", lines)
    return open_cycle(target)


@dataclass(frozen=True)
class Case:
    """One run: its rows, and how many of them a batch."""

    rows: str
    cycle: Cycle
    batch: int
    epochs: int


def run(case: Case, base: Path, runtime: LocalRuntime, logs: Path) -> dict[str, Any]:
    """Train one case by the same code path as a real cycle; its figures, or its fault.

    The run's log goes into ``logs``.
    """
    recipe = Recipe(batch_size=case.batch, epochs=case.epochs)
    checked = prepare.check(case.cycle, base, recipe)
    data = prepare.split(case.cycle, checked, 0.2, 42)
    name = f"{case.rows}-{case.batch}"
    request = training_run.SftRequest(
        base=base,
        base_name="tdt-617m-random",
        data=data,
        recipe=recipe,
        model_dir=case.cycle.path / "models" / name,
        audio_roots=(case.cycle.path,),
        key=name,
    )
    started = time.monotonic()
    figures: dict[str, Any] = {
        "rows": case.rows,
        "batch": case.batch,
        "train": len(data.split.train),
    }

    try:
        result = sft.train(request, runtime, lambda _: None)
    except FaultError as failed:
        shutil.rmtree(request.work_dir, ignore_errors=True)
        return {**figures, "fault": failed.fault.value, "wall_s": round(time.monotonic() - started)}
    info = atomic_files.read_json(result.info)
    steps = [
        event
        for event in atomic_files.read_jsonl(request.model_dir / training_run.EVENTS_NAME)
        if event["event"] == "step"
    ]
    losses = [step["loss"] for step in steps]
    figures |= {
        "parameters": info["base"]["parameters"],
        "epochs": [
            {"train_loss": epoch.train_loss, "val_wer": epoch.val_wer, "seconds": epoch.seconds}
            for epoch in result.epochs
        ],
        "batches": len(steps),
        # The first batches compile and warm up.
        "median_batch_s": round(statistics.median(step["seconds"] for step in steps[3:]), 4),
        "peak_gpu_memory_mib": info["peak_gpu_memory_mib"],
        "loss_first_5": round(statistics.mean(losses[:5]), 3),
        "loss_last_5": round(statistics.mean(losses[-5:]), 3),
        "wall_s": round(time.monotonic() - started),
        "overrides": info["overrides"],
        "versions": {"nemo": info["runtime"]["nemo"], "torch": info["runtime"]["torch"]},
    }
    shutil.copy(request.model_dir / training_run.LOG_NAME, logs / f"{name.replace(' ', '-')}.log")
    shutil.rmtree(request.model_dir)
    return figures


def main() -> None:
    """Make model and rows, run each batch size, print one line a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stock-script", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batches", type=int, nargs="*", default=[4, 16])
    parser.add_argument("--long-batches", type=int, nargs="*", default=[4, 16, 32, 64])
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    host = hardware.detect()
    runtime = LocalRuntime(host, args.stock_script)
    try:
        runtime.check()  # before the model is made
    except InputError as wrong:
        parser.error(str(wrong))
    report: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "gpus": [gpu.name for gpu in host.gpus],
        "driver": host.gpus[0].driver,
        "memory_mib": host.smallest_gpu_mib,
        "python": platform.python_version(),
        "runs": [],
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base = parakeet_graph.make_model(folder)
        print(f"model made, {base.stat().st_size >> 20} MiB", flush=True)
        synthesise_cycle(folder / "short" / "cycle1")
        short = open_cycle(folder / "short" / "cycle1")
        long = long_rows(short, folder / "long", count=5 * max(args.long_batches, default=1))
        print("rows made", flush=True)
        cases = [Case("demo", short, batch, args.epochs) for batch in args.batches]
        cases += [Case("20 s", long, batch, 1) for batch in args.long_batches]
        for case in cases:
            figures = run(case, base, runtime, args.out.parent)
            report["runs"].append(figures)
            print({key: value for key, value in figures.items() if key != "overrides"}, flush=True)
            args.out.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
