"""All benchmarks of this machine in one table of ratios.

    python -m benchmarks [--json FILE] [--only NAME …] [--nemo PATH] [--against PATH]

Each line is ours against an alternative, both measured in this run. With --against the same part of
an older tree runs after each part of this one, in that tree's own environment, and what both
measured of themselves is compared. A GPU has programs of its own besides:
benchmarks.transcribe_on_gpu and benchmarks.sft_on_gpu.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import boosting, splitting, transcription
from benchmarks.rows import BenchmarkRow
from benchmarks.sft_against_stock import BARE, BY_LENGTH, OURS
from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.runtimes import hardware
from tasks.training.run_info import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


# Of a program that failed, what says why.
_TAIL = 2000


def _scoring() -> Iterator[BenchmarkRow]:
    try:
        scoring: Any = importlib.import_module("benchmarks.scoring")
    except ModuleNotFoundError:
        return
    ours, *others = scoring.rows(sizes=())
    for other in (row for row in others if row.what in {"jiwer", scoring.LETTER}):
        yield BenchmarkRow(f"scoring: {other.what}", ours.rate, other.rate, "rows/s")


def _overhead() -> Iterator[BenchmarkRow]:
    from benchmarks import overhead  # noqa: PLC0415

    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    for name, ours, theirs, _ in overhead.table(overhead.measure(18, 1)):
        yield BenchmarkRow(name, ours, theirs, "s")


def _sft(nemo: Path | None) -> Iterator[BenchmarkRow]:
    """Time an epoch, with the embedded base if there is no GPU; needs NeMo's own script."""
    if nemo is None:
        return
    script = str(nemo / "examples" / "asr" / "speech_to_text_finetune.py")
    small = ["--tiny", "--rows=80", "--batch=4", "--shortest=1", "--seconds=4", "--budget-s=200"]
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as temporary:
        out = Path(temporary) / "sft.json"
        program = [sys.executable, "-m", "benchmarks.sft_against_stock", "--stock-script", script]
        options = [] if hardware.detect().has_gpu else small
        # A process of its own, which can hide the GPUs and whose libraries may print.
        process = subprocess.run(
            [*program, *options, "--out", str(out)], check=False, capture_output=True, text=True
        )
        if process.returncode != 0:
            raise RuntimeError(process.stderr[-_TAIL:])
        sides = atomic_files.read_json(out)["sides"]
    for name, side in sides.items():
        if side["epoch_s"] is None:
            raise RuntimeError(f"{name}: no epoch: {side['ended']}")
    ours = sides[OURS]["epoch_s"]
    yield BenchmarkRow("SFT, an epoch: the bare stock script", ours, sides[BARE]["epoch_s"], "s")
    if BY_LENGTH in sides:
        by_length = sides[BY_LENGTH]["epoch_s"]
        yield BenchmarkRow(
            "SFT, an epoch: batches by length, against any order", by_length, ours, "s"
        )


def check_tree(tree: Path) -> Path:
    """Return the interpreter of another tree's environment.

    Raises:
        InputError: the tree has no environment or no benchmarks.
    """
    python = tree.absolute() / ".venv" / "bin" / "python"
    for needed in (python, tree / "benchmarks" / "__main__.py"):
        if not needed.is_file():
            raise InputError(
                f"--against {tree}: there is no {needed}. Fix: name a checkout of this project, "
                "and run `make setup` in it."
            )
    return python


def older_figures(tree: Path, name: str, nemo: Path | None) -> dict[str, tuple[float, str]]:
    """Run a part of another tree's benchmarks by that tree's interpreter.

    Args:
        tree: its root, with an environment of its own (``make setup`` there).
        name: of the part.
        nemo: a checkout of NeMo, or None.

    Returns:
        What the tree measured of itself and the unit, by what was done; {} of a part it lacks.

    Raises:
        InputError: the tree has no environment or no benchmarks.
        RuntimeError: its program failed; holds the end of what it said.
    """
    python = check_tree(tree)
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as temporary:
        out = Path(temporary) / "older.json"
        line = [str(python), "-m", "benchmarks", "--json", str(out), "--only", name]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        process = subprocess.run(
            [*line, *(() if nemo is None else ("--nemo", str(nemo.absolute())))],
            cwd=tree,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if process.returncode != 0:
            raise RuntimeError(f"{tree}: {process.stderr[-_TAIL:]}")
        rows = atomic_files.read_json(out)["rows"]
    return {row["what"]: (row["ours"], row["unit"]) for row in rows}


def against_older(
    rows: Iterable[BenchmarkRow], older: Mapping[str, tuple[float, str]], label: str
) -> Iterator[BenchmarkRow]:
    """Yield a row for each thing that both trees measured; its ratio is this tree's gain."""
    for row in rows:
        figure, unit = older.get(row.what, (None, ""))
        if figure is not None and unit == row.unit:
            yield BenchmarkRow(f"{row.what} [against {label}]", row.ours, figure, unit)


def main() -> None:
    """Run them, print a line each as it comes, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="Write the table there as well.")
    parser.add_argument("--nemo", type=Path, help="A checkout of NeMo, for its own scripts.")
    parser.add_argument(
        "--against", type=Path, help="An older tree of this project with an environment of its own."
    )
    parser.add_argument(
        "--only", nargs="*", help="transcription, boosting, scoring, split, sft, overhead."
    )
    args = parser.parse_args()
    if args.against is not None:
        try:
            check_tree(args.against)
        except InputError as wrong:
            parser.error(str(wrong))
    parts: dict[str, Callable[[], Iterable[BenchmarkRow]]] = {
        "split": splitting.rows,
        "scoring": _scoring,
        "transcription": lambda: transcription.rows(args.nemo),
        "boosting": boosting.rows,
        "sft": lambda: _sft(args.nemo),
        "overhead": _overhead,
    }
    table: list[BenchmarkRow] = []
    failed = False
    print(f"{'':<66} {'ours':>10} {'theirs':>10} {'':<12}{'ratio':>7}", flush=True)
    for name, part in parts.items():
        if args.only and name not in args.only:
            continue
        try:
            rows = []
            for row in part():
                rows.append(row)
                print(row, flush=True)
            table += rows
            if args.against is not None:
                older = older_figures(args.against, name, args.nemo)
                for row in against_older(rows, older, args.against.absolute().name):
                    table.append(row)
                    print(row, flush=True)
        except Exception:  # noqa: BLE001 - one that fails must not cost the others
            failed = True
            traceback.print_exc()
    if args.json is not None:
        atomic_files.write_json(
            args.json,
            {
                "date": time.strftime("%Y-%m-%d"),
                "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
                "machine": platform.machine(),
                "cores": len(os.sched_getaffinity(0)),
                # Well over the number of cores, the figures tell of the other programs.
                "load": [round(load, 1) for load in os.getloadavg()],
                "versions": versions(),
                "rows": [row.as_dict() for row in table],
            },
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
