"""Every figure of a GPU host by one command, one benchmark after the other, within a budget.

    python -m benchmarks.gpu_figures --out FOLDER [--budget-s 1500] [--stock-script PATH]
        [--against OLDER-TREE] [--only NAME …]

Each benchmark is a process of its own. One that fails, or takes longer than it may, ends alone.
What a benchmark needs and the host lacks, or what the budget has no room for, is left out, and
``FOLDER/figures.json`` says why; it is written after each. Their own files and logs lie beside it.
Nothing else may run on the host.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.provenance import provenance
from tasks.common import atomic_files
from tasks.common.processes import stop_group
from tasks.runtimes import hardware

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ENDING_S = 20
"""What a benchmark gets to write what it has, before it is ended."""
# As sft_against_stock names its sides; to import it takes NeMo.
_COMPILED, _BARE, _ON_ONE = "ours compiled", "bare", "ours compiled on one GPU"


@dataclass(frozen=True)
class GpuBenchmark:
    """One benchmark of a GPU host.

    Attributes:
        name: of its files.
        arguments: of the interpreter; "{out}", "{script}", "{older}" and "{budget}" are filled in.
        least_s: with less it would not end.
        limit_s: with more it does not go on.
        gpus: that it needs.
    """

    name: str
    arguments: tuple[str, ...]
    least_s: float
    limit_s: float
    gpus: int = 1

    def needs(self, name: str) -> bool:
        """Return whether its command names something, such as the stock script."""
        return f"{{{name}}}" in self.arguments


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return "-m", f"benchmarks.{name}", "--out", "{out}.json", *arguments


_BUDGET = ("--budget-s", "{budget}")
_STOCK = ("--stock-script", "{script}", *_BUDGET)
BENCHMARKS = (
    GpuBenchmark("rehearsal", ("-m", "asr_flywheel", "rehearse", "--out", "{out}"), 300, 600),
    GpuBenchmark(
        "curves",
        _module(
            "compiled_steps",
            *("--parts", "fixed", "curves", "--variants", "plain", "compiled"),
            *("--curve-steps", "300", "--part-s", "250", *_BUDGET),
        ),
        350,
        600,
    ),
    GpuBenchmark("courses", _module("compiled_courses", *_BUDGET), 200, 500),
    GpuBenchmark(
        "two-gpus",
        _module("sft_against_stock", "--epochs", "3", "--sides", _COMPILED, _ON_ONE, *_STOCK),
        250,
        400,
        gpus=2,
    ),
    GpuBenchmark(
        "ten-epochs",
        _module("sft_at_once", "--folder", "{out}-base", *_STOCK),
        750,
        1000,
        gpus=2,
    ),
    GpuBenchmark(
        "epochs",
        _module("sft_against_stock", "--epochs", "5", "--sides", _COMPILED, _BARE, *_STOCK),
        650,
        900,
    ),
    GpuBenchmark(
        "small-steps",
        _module(
            "compiled_steps",
            *("--small", "--parts", "fixed", "mixed"),
            *("--variants", "plain", "compiled", "recorded, not compiled"),
            *_BUDGET,
        ),
        120,
        240,
    ),
    GpuBenchmark(
        "choosing",
        _module("decoding_on_gpu", "--pieces", "choosing", "--max-symbols", "1", *_BUDGET),
        100,
        200,
    ),
    GpuBenchmark("shapes", _module("depthwise_shapes"), 40, 120),
    GpuBenchmark("texts", _module("decoding_on_gpu", "--pieces", "texts", *_BUDGET), 170, 300),
    GpuBenchmark(
        "demo", _module("demo_against", "--rounds", "1", "--against", "{older}"), 300, 500
    ),
    GpuBenchmark(
        "decoding", _module("decoding_against", "--against", "{older}", *_BUDGET), 200, 400
    ),
)
"""In the order of their worth: what proves that a training is right comes first."""


def reason_to_leave_out(
    benchmark: GpuBenchmark, gpus: int, given: Mapping[str, Path | None], left_s: float
) -> str:
    """Return why a benchmark is not run, or "".

    Args:
        benchmark: the next one.
        gpus: of this host.
        given: "script" and "older", if the command line names them.
        left_s: of the budget.
    """
    if gpus < benchmark.gpus:
        return f"needs {benchmark.gpus} GPU(s), and this host has {gpus}"
    for name, option in (("script", "--stock-script"), ("older", "--against")):
        if benchmark.needs(name) and given[name] is None:
            return f"needs {option}"
    if left_s < benchmark.least_s:
        return f"needs {benchmark.least_s:.0f} s, and {max(0.0, left_s):.0f} s are left"
    return ""


def run_one(command: Sequence[str], log: Path, limit_s: float) -> dict[str, Any]:
    """Run a command in a group of its own; its output goes into a log.

    Returns:
        "seconds", and "exit_code", which is None where it was ended at its limit.
    """
    started = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: int | None = None
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            stop_group(process)
    return {"seconds": round(time.monotonic() - started, 1), "exit_code": code}


def main() -> None:
    """Run what can be run; exit with 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="A folder.")
    parser.add_argument("--budget-s", type=float, default=1500.0, help="For everything.")
    parser.add_argument("--stock-script", type=Path, help="NeMo's, in a checkout.")
    parser.add_argument("--against", type=Path, help="An exported older tree.")
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    args = parser.parse_args()
    deadline = time.monotonic() + args.budget_s
    args.out.mkdir(parents=True, exist_ok=True)
    host = hardware.detect()
    given = {"script": args.stock_script, "older": args.against}
    figures: dict[str, Any] = {**provenance(host), "benchmarks": {}}
    for benchmark in BENCHMARKS:
        if benchmark.name not in args.only:
            continue
        left_s = deadline - time.monotonic()
        if reason := reason_to_leave_out(benchmark, len(host.gpus), given, left_s):
            ended: dict[str, Any] = {"left_out": reason}
        else:
            limit_s = min(benchmark.limit_s, left_s)
            values = {
                "out": args.out / benchmark.name,
                "budget": max(1, round(limit_s - _ENDING_S)),
                **given,
            }
            arguments = [one.format_map(values) for one in benchmark.arguments]
            log = args.out / f"{benchmark.name}.log"
            ended = run_one([sys.executable, *arguments], log, limit_s)
        figures["benchmarks"][benchmark.name] = ended
        print(f"{benchmark.name}: {ended}", flush=True)
        atomic_files.write_json(args.out / "figures.json", figures)
    failed = [one for one in figures["benchmarks"].values() if one.get("exit_code", 0) != 0]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
