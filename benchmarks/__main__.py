"""All benchmarks of this machine in one table of ratios.

    python -m benchmarks [--json FILE] [--only NAME …] [--nemo PATH]

Each line is ours against an alternative, both measured in this run. A GPU has programs of its own:
benchmarks.transcribe_on_gpu, benchmarks.sft_on_gpu and benchmarks.sft_against_stock.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import splitting, transcription
from benchmarks.rows import Row
from tasks import files
from tasks.training_record import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def _scoring() -> Iterator[Row]:
    try:
        scoring: Any = importlib.import_module("benchmarks.scoring")
    except ModuleNotFoundError:
        return
    ours, *others = scoring.rows(sizes=())
    for other in others:
        yield Row(f"scoring: {other.what}", ours.rate, other.rate, "rows/s")


def _overhead() -> Iterator[Row]:
    from benchmarks import overhead  # noqa: PLC0415

    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    for what, ours, theirs, _ in overhead.table(overhead.measure(18, 1)):
        yield Row(what, ours, theirs, "s")


def main() -> None:
    """Run them, print a line each as it comes, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="Write the table there as well.")
    parser.add_argument("--nemo", type=Path, help="A checkout of NeMo, for its own script.")
    parser.add_argument("--only", nargs="*", help="transcription, scoring, split, overhead.")
    given = parser.parse_args()
    parts: dict[str, Callable[[], Iterable[Row]]] = {
        "split": splitting.rows,
        "scoring": _scoring,
        "transcription": lambda: transcription.rows(given.nemo),
        "overhead": _overhead,
    }
    found: list[Row] = []
    failed = False
    print(f"{'':<66} {'ours':>10} {'theirs':>10} {'':<12}{'ratio':>7}", flush=True)
    for name, part in parts.items():
        if given.only and name not in given.only:
            continue
        try:
            for row in part():
                found.append(row)
                print(row, flush=True)
        except Exception:  # noqa: BLE001 - one that fails must not cost the others
            failed = True
            traceback.print_exc()
    if given.json is not None:
        files.write_json(
            given.json,
            {
                "date": time.strftime("%Y-%m-%d"),
                "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
                "machine": platform.machine(),
                "cores": len(os.sched_getaffinity(0)),
                # Well over the number of cores, the figures tell of the other programs.
                "load": [round(one, 1) for one in os.getloadavg()],
                "versions": versions(),
                "rows": [row.as_dict() for row in found],
            },
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
