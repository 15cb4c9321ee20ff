"""An epoch of SFT: our launcher with our overrides against the bare stock script, in one run.

    python -m benchmarks.sft_against_stock --stock-script PATH --out FILE.json

Both train the 617 M Parakeet-TDT graph (random weights) on the same 2,000 rows of 15 s at the same
batch, one after the other, on all GPUs that are visible. The bare script gets the specification's
overrides and nothing else. Where there are several GPUs, ours trains on one of them too; with
``--shortest 3``, rows have 3 to 15 s, and ours also trains in batches by length. Times come from
what each writes down of every tenth batch (our events, its TensorBoard file), GPU utilisation and
memory from nvidia-smi. Whoever exceeds its share of ``--budget-s`` is ended, and what it has
reached is reported. ``--sides`` names those to run. ``--tiny`` takes the embedded base on a CPU:
that proves the benchmark, not the product.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import soundfile

from benchmarks.entry import parakeet_graph
from benchmarks.sft_course import Sampler, Side, logged
from tasks.common import atomic_files
from tasks.common.errors import TrainingError
from tasks.common.processes import stop_group
from tasks.data.split import Split
from tasks.data.training_set import TrainingSet
from tasks.models import catalog
from tasks.runtimes import hardware
from tasks.runtimes.local import LocalRuntime
from tasks.training import hydra_overrides, sft
from tasks.training import run as training_run
from tasks.training.hydra_overrides import Override
from tasks.training.progress import Events
from tasks.training.recipes import Recipe
from tasks.training.run_info import versions

if TYPE_CHECKING:
    from collections.abc import Callable

RATE = 16_000
_WRITTEN_EVERY = 10  # as the stock script logs
_SYLLABLES = [c + v for c in "bdfgklmnprstv" for v in "aeiou"]


class OutOfTimeError(Exception):
    """A side used up its share."""


@dataclass(frozen=True)
class Rows:
    """The two manifests that both sides read."""

    data: TrainingSet
    folder: Path


def make_rows(folder: Path, train: int, validation: int, lengths: tuple[float, float]) -> Rows:
    """Quiet noise and made-up words: time and memory do not depend on what is said.

    Args:
        folder: where they go.
        train: rows to train on.
        validation: rows held out.
        lengths: the shortest and the longest row's seconds; all lengths between are as likely.
    """
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    made: list[dict[str, Any]] = []
    for number in range(train + validation):
        seconds = round(float(rng.uniform(*lengths)), 3)
        audio = rng.normal(0, 300, int(seconds * RATE)).astype(np.int16)
        path = folder / "audio" / f"{number:05}.wav"
        soundfile.write(path, audio, RATE)
        words = ("".join(rng.choice(_SYLLABLES, 2)) for _ in range(int(2.5 * seconds)))
        made.append({"audio_filepath": str(path), "duration": seconds, "text": " ".join(words)})
    sides = folder / "train.jsonl", folder / "validation.jsonl"
    atomic_files.write_jsonl(sides[0], made[:train])
    atomic_files.write_jsonl(sides[1], made[train:])
    split = Split(tuple(range(train)), tuple(range(train, train + validation)), ())
    durations = tuple(row["duration"] for row in made[:train])
    return Rows(TrainingSet(*sides, split, durations, content="benchmark"), folder)


def ours(
    base: Path,
    rows: Rows,
    given: argparse.Namespace,
    limit_s: float,
    *,
    by_length: bool = False,
) -> Side:
    """The product's own code path, with the stock script."""
    runtime = LocalRuntime(_host(given), given.stock_script)
    request = training_run.SftRequest(
        base=base,
        base_name="benchmark",
        data=rows.data,
        recipe=Recipe(batch_size=given.batch, epochs=given.epochs, by_length=by_length),
        model_dir=rows.folder / "models" / "ours",
        audio_roots=(rows.folder,),
        key="benchmark",
    )
    side = Side(_per_epoch(given))
    side.arguments = list(map(str, hydra_overrides.overrides(request, runtime)))
    started = time.monotonic()
    events: list[dict[str, Any]] = []

    def in_time(_: object) -> None:
        if time.monotonic() - started > limit_s:
            events.extend(Events(request.events).read())
            raise OutOfTimeError

    try:
        result = sft.train(request, runtime, in_time)
        events = atomic_files.read_jsonl(result.info.with_name(training_run.EVENTS_NAME))
        side.ended = "whole"
    except OutOfTimeError:
        side.ended = f"ended after {limit_s:.0f} s"
    except TrainingError as failed:
        side.ended = str(failed)[:2000]
    side.wall_s = time.monotonic() - started
    # A loss is read, and its event written, at the end of the batch after it; that of an epoch's
    # last batch when validation starts, which is no batch's end.
    side.steps = [
        (event["epoch"], event["batch"] + 1, event["time"])
        for event in events
        if event["event"] == "step"
        and (event["batch"] + 1) % _WRITTEN_EVERY == 0
        and event["batch"] % side.per_epoch
    ]
    side.validated = [e["time"] for e in events if e["event"] == "epoch"]
    shutil.rmtree(rows.folder / "models", ignore_errors=True)
    return side


def on_one_gpu(base: Path, rows: Rows, given: argparse.Namespace, limit_s: float) -> Side:
    """As ours, on the first of the visible GPUs: its batches are smaller steps."""
    (first, *_) = hardware.detect().gpus
    with patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": first.uuid}):
        side = ours(base, rows, given, limit_s)
    side.only = first.uuid
    return side


def _host(given: argparse.Namespace) -> hardware.Hardware:
    found = hardware.detect()
    return hardware.Hardware((), found.cores) if given.tiny else found


def _per_epoch(given: argparse.Namespace) -> int:
    """Batches of each GPU."""
    batches: int = math.ceil(given.rows / (given.batch * max(1, len(_host(given).gpus))))
    return batches


def bare(base: Path, rows: Rows, given: argparse.Namespace, limit_s: float) -> Side:
    """The stock script as the specification starts it (4d), the base as a file."""
    overrides = [
        Override("init_from_nemo_model", str(base)),
        Override("model.train_ds.manifest_filepath", str(rows.data.train)),
        Override("model.validation_ds.manifest_filepath", str(rows.data.validation)),
        Override("model.train_ds.batch_size", given.batch),
        Override("model.optim.lr", 3e-4),
        Override("model.optim.sched.warmup_steps", 5),
        Override("trainer.max_epochs", given.epochs),
        Override("trainer.gradient_clip_val", 1.0),
        Override("exp_manager.exp_dir", str(rows.folder / "bare")),
    ]
    if given.tiny:
        overrides += [
            Override("trainer.accelerator", "cpu"),
            Override("trainer.devices", 1),
            Override("trainer.sync_batchnorm", value=False),
        ]
    else:
        overrides.append(Override("trainer.precision", "bf16-mixed"))
    side = Side(_per_epoch(given), arguments=list(map(str, overrides)))
    started = time.monotonic()
    log = rows.folder / "bare.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(given.stock_script), *side.arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=tempfile.gettempdir(),
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
            side.ended = "whole" if code == 0 else f"exit code {code}: {_tail(log)}"
        except subprocess.TimeoutExpired:
            side.ended = f"ended after {limit_s:.0f} s"
        finally:
            stop_group(process)
    side.wall_s = time.monotonic() - started
    for event, epoch, batch, at in logged(rows.folder / "bare"):
        if event == "train_loss":
            side.steps.append((epoch, batch, at))
        else:
            side.validated.append(at)
    shutil.rmtree(rows.folder / "bare", ignore_errors=True)
    return side


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-1500:]


def ratio(mine: dict[str, Any], other: dict[str, Any], name: str) -> float | None:
    """How many times less time we take; over 1 is better."""
    if not mine.get(name) or not other.get(name):
        return None
    return round(float(other[name]) / float(mine[name]), 3)


def ratios(sides: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The time of each other side over ours, by what was timed."""
    mine = sides.get(OURS, {})
    return {
        side: {name: found for name in _TIMES if (found := ratio(mine, other, name)) is not None}
        for side, other in sides.items()
        if side != OURS
    }


OURS, ON_ONE, BY_LENGTH, BARE = "ours", "ours on one GPU", "ours by length", "bare"
_TIMES = ("median_batch_s", "mean_batch_s", "epoch_s", "epoch_with_checkpoints_s", "wall_s")
SIDES: dict[str, Callable[[Path, Rows, argparse.Namespace, float], Side]] = {
    OURS: ours,
    ON_ONE: on_one_gpu,
    BY_LENGTH: partial(ours, by_length=True),
    BARE: bare,
}


def wanted(given: argparse.Namespace) -> list[str]:
    """The sides to run: those that were asked for, or all that tell something here."""
    several, unlike = len(_host(given).gpus) > 1, given.shortest < given.seconds
    told = {ON_ONE: several, BY_LENGTH: unlike}
    return given.sides or [name for name in SIDES if told.get(name, True)]


def main() -> None:
    """Make base and rows, run the sides, print each as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stock-script", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=15.0, help="Of the longest row.")
    parser.add_argument("--shortest", type=float, help="Seconds; by default all rows are as long.")
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), help="In this order.")
    parser.add_argument("--budget-s", type=float, default=460.0, help="For everything.")
    parser.add_argument("--tiny", action="store_true", help="The embedded base on a CPU.")
    given = parser.parse_args()
    deadline = time.monotonic() + given.budget_s
    if given.tiny:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if given.shortest is None:
        given.shortest = given.seconds
    host = _host(given)
    if ON_ONE in (given.sides or ()) and not host.gpus:
        parser.error(f"--sides '{ON_ONE}': there is no GPU here")
    report: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "command": sys.argv[1:],
        "stock_script_sha256": hashlib.sha256(given.stock_script.read_bytes()).hexdigest(),
        "gpus": [gpu.name for gpu in host.gpus],
        "drivers": sorted({gpu.driver for gpu in host.gpus}),
        "cores": host.cores,
        "versions": versions(),
        "rows": given.rows,
        "row_s": [given.shortest, given.seconds],
        "batch": given.batch,
        "effective_batch": given.batch * max(1, len(host.gpus)),
        "sides": {},
    }
    sampler = Sampler(host.gpus)
    try:
        with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as made:
            folder = Path(made)
            base = catalog.embedded_path() if given.tiny else parakeet_graph.make_model(folder)
            lengths = given.shortest, given.seconds
            rows = make_rows(folder / "rows", given.rows, max(8, given.rows // 20), lengths)
            print(f"base and rows made, {deadline - time.monotonic():.0f} s are left", flush=True)
            names = wanted(given)
            for done, name in enumerate(names):
                limit = (deadline - time.monotonic() - 10) / (len(names) - done)
                found = SIDES[name](base, rows, given, limit).figures(sampler)
                report["sides"][name] = found
                print(json.dumps({name: report["sides"][name]}), flush=True)
                given.out.write_text(json.dumps(report, indent=1), encoding="utf-8")
    finally:
        sampler.stop()
    report["ratios"] = ratios(report["sides"])
    print(json.dumps({"others / ours": report["ratios"]}), flush=True)
    given.out.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
