"""An epoch of SFT: our launcher with our overrides against the bare stock script, in one run.

    python -m benchmarks.sft_against_stock --stock-script PATH --out FILE.json

Both train the 617 M Parakeet-TDT graph (random weights) on the same 2,000 rows of 15 s at the same
batch, one after the other, on all GPUs that are visible. The bare script gets the specification's
overrides and nothing else. On one GPU ours also trains with compiled layers. Where there are
several, ours trains on one of them too; ``--sides`` may ask for compiled layers there as well. With
``--shortest 3``, rows have 3 to 15 s, and ours also trains in batches by length. Times come from
what each writes down of every tenth batch (our events, its TensorBoard file); ours tells each
batch's "seconds" too. "epoch_losses" tell whether both train alike. GPU utilisation and memory come
from nvidia-smi. "epochs_end_s" are seconds from the start of the process, so that loading and
compiling count; "ready_s" are those until the first batch. Whoever exceeds its share of
``--budget-s`` is ended, and what it has reached is reported. ``--sides`` names those to run; one
that is named twice runs twice. With ``--folder``, base and rows are made there and stay, and the
next benchmark takes them from there. ``--tiny`` takes the embedded base on a CPU: that proves the
benchmark, not the product.
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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks.provenance import provenance
from benchmarks.sft_course import Sampler, Side, logged
from benchmarks.sft_rows import Rows, prepare
from tasks.common import atomic_files
from tasks.common.errors import InputError, TrainingError
from tasks.common.processes import stop_group
from tasks.runtimes import hardware
from tasks.runtimes.local import LocalRuntime
from tasks.training import hydra_overrides, sft
from tasks.training import run as training_run
from tasks.training.hydra_overrides import Override
from tasks.training.progress import Events
from tasks.training.recipes import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WRITTEN_EVERY = 10  # as the stock script logs
# To end a side and remove its checkpoints of 7 GB each, before what it reached is written.
_ENDING_S = 30


class OutOfTimeError(Exception):
    """A side used up its share."""


def run_ours(
    base: Path,
    rows: Rows,
    args: argparse.Namespace,
    limit_s: float,
    *,
    by_length: bool = False,
    compiled: bool = False,
) -> Side:
    """Run the product's own code path, with the stock script."""
    runtime = LocalRuntime(_host(args), args.stock_script)
    request = training_run.SftRequest(
        base=base,
        base_name="benchmark",
        data=rows.data,
        recipe=Recipe(
            batch_size=args.batch,
            epochs=args.epochs,
            by_length=by_length,
            compiled=compiled,
            fused_adamw=compiled,
        ),
        model_dir=rows.folder / "models" / "ours",
        audio_roots=(rows.folder,),
        key="benchmark",
    )
    side = Side(_per_epoch(args), began=time.time())
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
    starts = [event for event in events if event["event"] == "start"]
    side.compiled_layers = starts[-1].get("compiled_layers") if starts else None
    steps = [event for event in events if event["event"] == "step"]
    epochs = [event for event in events if event["event"] == "epoch"]
    side.reserved_mib = max((epoch["gpu_reserved_mib"] for epoch in epochs), default=0)
    side.allocated_mib = max((step["gpu_memory_mib"] for step in steps), default=0)
    side.losses = [(step["epoch"], step["loss"]) for step in steps]
    side.ready = starts[-1]["time"] if starts else None
    side.seconds = [step["seconds"] for step in steps]
    # A loss is read, and its event written, at the end of the batch after it; that of an epoch's
    # last batch when validation starts, which is no batch's end.
    side.steps = [
        (event["epoch"], event["batch"] + 1, event["time"])
        for event in events
        if event["event"] == "step"
        and (event["batch"] + 1) % _WRITTEN_EVERY == 0
        and event["batch"] % side.per_epoch
    ]
    side.validated = [epoch["time"] for epoch in epochs]
    for log in (rows.folder / "models").rglob("*.log"):  # of a run that was not whole
        shutil.copyfile(log, args.out.with_name(f"{args.out.stem}-{log.name}"))
    shutil.rmtree(rows.folder / "models", ignore_errors=True)
    return side


def run_on_one_gpu(
    base: Path, rows: Rows, args: argparse.Namespace, limit_s: float, *, compiled: bool = False
) -> Side:
    """Run ours on the first of the visible GPUs: its batches are smaller steps."""
    (first, *_) = hardware.detect().gpus
    with patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": first.uuid}):
        side = run_ours(base, rows, args, limit_s, compiled=compiled)
    side.only = first.uuid
    return side


def _host(args: argparse.Namespace) -> hardware.Hardware:
    host = hardware.detect()
    return hardware.Hardware((), host.cores) if args.tiny else host


def _per_epoch(args: argparse.Namespace) -> int:
    """Return the batches of each GPU in an epoch."""
    batches: int = math.ceil(args.rows / (args.batch * max(1, len(_host(args).gpus))))
    return batches


def run_bare(base: Path, rows: Rows, args: argparse.Namespace, limit_s: float) -> Side:
    """Run the stock script as the specification starts it (4d), the base as a file."""
    overrides = [
        Override("init_from_nemo_model", str(base)),
        Override("model.train_ds.manifest_filepath", str(rows.data.train)),
        Override("model.validation_ds.manifest_filepath", str(rows.data.validation)),
        Override("model.train_ds.batch_size", args.batch),
        Override("model.optim.lr", 3e-4),
        Override("model.optim.sched.warmup_steps", 5),
        Override("trainer.max_epochs", args.epochs),
        Override("trainer.gradient_clip_val", 1.0),
        Override("exp_manager.exp_dir", str(rows.folder / "bare")),
    ]
    if args.tiny:
        overrides += [
            Override("trainer.accelerator", "cpu"),
            Override("trainer.devices", 1),
            Override("trainer.sync_batchnorm", value=False),
        ]
    else:
        overrides.append(Override("trainer.precision", "bf16-mixed"))
    side = Side(_per_epoch(args), began=time.time(), arguments=list(map(str, overrides)))
    started = time.monotonic()
    log = rows.folder / "bare.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(args.stock_script), *side.arguments],
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
    for event, epoch, batch, at, value in logged(rows.folder / "bare"):
        if event == "train_loss":
            side.steps.append((epoch, batch, at))
            side.losses.append((epoch, value))
        else:
            side.validated.append(at)
    shutil.rmtree(rows.folder / "bare", ignore_errors=True)
    return side


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-1500:]


def ratio(ours: dict[str, Any], theirs: dict[str, Any], name: str) -> float | None:
    """Return theirs over ours; over 1 is better."""
    if not ours.get(name) or not theirs.get(name):
        return None
    return round(float(theirs[name]) / float(ours[name]), 3)


def ratios(sides: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the time of each other side over ours, by timed part; the compiled one if it ran."""
    name_of_ours = COMPILED if COMPILED in sides else OURS
    ours = sides.get(name_of_ours, {})
    return {
        side: {name: value for name in _TIMES if (value := ratio(ours, figures, name)) is not None}
        for side, figures in sides.items()
        if side != name_of_ours
    }


def ahead_from(ours: dict[str, Any], theirs: dict[str, Any]) -> int | None:
    """Return the first epoch, from 1, at whose end ours is ahead and stays so; None if none is."""
    pairs = list(zip(ours["epochs_end_s"], theirs["epochs_end_s"], strict=False))
    behind = [epoch for epoch, (mine, other) in enumerate(pairs, start=1) if mine >= other]
    first = (behind[-1] if behind else 0) + 1
    return first if first <= len(pairs) else None


OURS, ON_ONE, BY_LENGTH, BARE = "ours", "ours on one GPU", "ours by length", "bare"
COMPILED, COMPILED_ON_ONE = "ours compiled", "ours compiled on one GPU"
_TIMES = ("median_batch_s", "mean_batch_s", "epoch_s", "epoch_with_checkpoints_s", "wall_s")
SIDES: dict[str, Callable[[Path, Rows, argparse.Namespace, float], Side]] = {
    OURS: run_ours,
    COMPILED: partial(run_ours, compiled=True),
    ON_ONE: run_on_one_gpu,
    COMPILED_ON_ONE: partial(run_on_one_gpu, compiled=True),
    BY_LENGTH: partial(run_ours, by_length=True),
    BARE: run_bare,
}


def choose_sides(args: argparse.Namespace) -> list[str]:
    """Choose the sides to run: those asked for, or all that tell something here."""
    several, unlike = len(_host(args).gpus) > 1, args.shortest < args.seconds
    one = len(_host(args).gpus) == 1
    telling = {COMPILED: one, COMPILED_ON_ONE: False, ON_ONE: several, BY_LENGTH: unlike}
    return args.sides or [name for name in SIDES if telling.get(name, True)]


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; refuse what cannot run before a minute goes into base and rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stock-script", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=15.0, help="Of the longest row.")
    parser.add_argument("--shortest", type=float, help="Seconds; by default all rows are as long.")
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), help="In this order.")
    parser.add_argument("--validation", type=int, help="Rows; a twentieth by default.")
    parser.add_argument("--budget-s", type=float, default=460.0, help="For everything.")
    parser.add_argument("--folder", type=Path, help="Where base and rows are kept.")
    parser.add_argument("--tiny", action="store_true", help="The embedded base on a CPU.")
    args = parser.parse_args(arguments)
    args.stock_script = args.stock_script.resolve()  # the bare side runs in another folder
    if args.tiny:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if args.shortest is None:
        args.shortest = args.seconds
    host = _host(args)
    if {ON_ONE, COMPILED_ON_ONE} & {*(args.sides or ())} and not host.gpus:
        parser.error("--sides: there is no GPU here, of which one could be taken")
    try:
        LocalRuntime(host, args.stock_script).check()
    except InputError as wrong:
        parser.error(str(wrong))
    return args


def main() -> None:
    """Make base and rows, run the sides, print each as it comes."""
    args = parse_arguments()
    deadline = time.monotonic() + args.budget_s
    host = _host(args)
    report: dict[str, Any] = {
        **provenance(host),
        "stock_script_sha256": hashlib.sha256(args.stock_script.read_bytes()).hexdigest(),
        "rows": args.rows,
        "row_s": [args.shortest, args.seconds],
        "batch": args.batch,
        "effective_batch": args.batch * max(1, len(host.gpus)),
        "sides": {},
    }
    sampler = Sampler(host.gpus)
    try:
        with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as temporary:
            base, rows = prepare(args.folder or Path(temporary), args)
            print(f"base and rows made, {deadline - time.monotonic():.0f} s are left", flush=True)
            names = choose_sides(args)
            for position, name in enumerate(names):
                limit = (deadline - time.monotonic() - _ENDING_S) / (len(names) - position)
                figures = SIDES[name](base, rows, args, limit).figures(sampler)
                again = names[:position].count(name)
                key = f"{name} ({again + 1})" if again else name
                report["sides"][key] = figures
                print(
                    json.dumps({key: {**figures, "arguments": "...", "losses": "..."}}), flush=True
                )
                args.out.write_text(json.dumps(report, indent=1), encoding="utf-8")
    finally:
        sampler.stop()
    report["ratios"] = ratios(report["sides"])
    if COMPILED in report["sides"]:
        report["ahead_from_epoch"] = {
            side: ahead_from(report["sides"][COMPILED], figures)
            for side, figures in report["sides"].items()
            if not side.startswith(COMPILED)
        }
    print(json.dumps({"others / ours": report["ratios"]}), flush=True)
    print(json.dumps({"ahead from epoch": report.get("ahead_from_epoch")}), flush=True)
    args.out.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
