"""Ours and the bare stock script at the same time, each on a GPU of its own of one host.

    python -m benchmarks.sft_at_once --out FILE.json --folder FOLDER --stock-script PATH
        [--epochs 10] [--budget-s 1000]

Ours, with compiled layers, has the first GPU, and the bare script the second: each a run of
``benchmarks.sft_against_stock``. The cores are shared out evenly, so that neither takes them from
the other. One after the other both would take the sum of their times. Base and rows are made once,
in FOLDER. FILE.json has both sides and their ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks import sft_against_stock
from benchmarks.sft_rows import prepare
from tasks.common import atomic_files
from tasks.common.processes import stop_group
from tasks.runtimes import hardware

_SIDES = (sft_against_stock.COMPILED, sft_against_stock.BARE)
_ENDING_S = 40
"""What a side gets to end and remove its checkpoints, before its budget is over."""


def merged(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the reports of single sides as one, with the ratios between them."""
    sides = {name: side for report in reports for name, side in report["sides"].items()}
    report = {**reports[0], "sides": sides, "ratios": sft_against_stock.ratios(sides)}
    report["gpus"] = [gpu for one in reports for gpu in one["gpus"]]
    ours, bare = (sides.get(name) for name in _SIDES)
    if ours and bare:
        report["ahead_from_epoch"] = sft_against_stock.ahead_from(ours, bare)
    return report


def main() -> None:
    """Make base and rows, start both sides, wait for them, and write what they reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--budget-s", type=float, default=1000.0)
    parser.add_argument("--stock-script", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    deadline = time.monotonic() + args.budget_s
    gpus = hardware.detect().gpus
    if len(gpus) < len(_SIDES):
        parser.error(f"each side wants a GPU of its own, and this host has {len(gpus)}")
    args.folder.mkdir(parents=True, exist_ok=True)
    same = ["--stock-script", str(args.stock_script), "--epochs", str(args.epochs)]
    same += ["--folder", str(args.folder)]
    prepare(args.folder, sft_against_stock.parse_arguments([*same, "--out", str(args.out)]))
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // len(_SIDES)
    files = [args.out.with_name(f"{args.out.stem}-{n}.json") for n in range(len(_SIDES))]
    for file in files:
        file.unlink(missing_ok=True)  # of an earlier run
    processes = []
    try:
        for number, (side, file) in enumerate(zip(_SIDES, files, strict=True)):
            budget_s = deadline - time.monotonic() - _ENDING_S
            command = [sys.executable, "-m", "benchmarks.sft_against_stock", *same]
            command += ["--out", str(file), "--sides", side]
            process = subprocess.Popen(
                [*command, "--budget-s", f"{budget_s:.0f}"],
                env={**os.environ, "CUDA_VISIBLE_DEVICES": gpus[number].uuid},
                start_new_session=True,
            )
            # It has imported nothing yet, so that all of its threads will have these cores.
            os.sched_setaffinity(process.pid, cores[number * each : (number + 1) * each])
            processes.append(process)
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(1.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            stop_group(process)
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    if not reports:
        sys.exit("neither side wrote figures; its lines above say why")
    report = {**merged(reports), "command": sys.argv[1:]}
    atomic_files.write_json(args.out, report)
    print(json.dumps({"others / ours": report["ratios"]}), flush=True)


if __name__ == "__main__":
    main()
