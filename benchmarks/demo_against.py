"""The demo by one command: this tree, this tree without what came later, and an older tree.

    python -m benchmarks.demo_against --out FILE.json --against OLDER-TREE [--rounds 2]

Sides take turns, each in a process and a folder of its own. Without what came later: recipe
``verified``, nothing is mixed, nothing is boosted, and each row is decoded once. General English is
not fewer sentences then (900; an older tree may have 200). Elapsed seconds count, so nothing else
may run. Set-up is not counted, and every side has this interpreter's packages.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.provenance import provenance
from tasks.common import atomic_files
from tasks.runtimes import hardware

OURS, WITHOUT, OLDER = "as it ships", "without what came later", "older tree"
_TREE = Path(__file__).resolve().parents[1]
_LATER = {"recipe": "verified", "interpolate": "off", "boost": "off", "variants": 1}


def run_without(folder: Path) -> None:
    """Run the demo without what came later, in this process."""
    # Only the child needs Prefect.
    from asr_flywheel.commands import run  # noqa: PLC0415

    turn = run.turn_flywheel

    # The demo has no such options.
    with patch.object(run, "turn_flywheel", lambda given: turn({**given, **_LATER})):
        run.demo(folder)


def _path_with(tree: Path) -> str:
    """Return PYTHONPATH with a tree first; a host's packages may be on it too."""
    return os.pathsep.join(filter(None, [str(tree), os.environ.get("PYTHONPATH", "")]))


def time_demo(side: str, tree: Path, folder: Path) -> float:
    """Return the seconds of one demo.

    Raises:
        SystemExit: it failed; its last lines are printed.
    """
    demo = ["-m", "asr_flywheel", "demo", "--dir"]
    if side == WITHOUT:
        demo = ["-m", "benchmarks.demo_against", "--without"]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, *demo, str(folder)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": _path_with(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    if done.returncode:
        sys.exit(f"{side}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
    print(f"{side}: {seconds:.1f} s", flush=True)
    return seconds


def main() -> None:
    """Run the sides in turn; print and write seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--against", type=Path, help="An exported older tree.")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--without", type=Path, metavar="DIR", help="Run that demo alone.")
    args = parser.parse_args()
    if args.without:
        run_without(args.without)
        return
    if args.out is None:
        parser.error("--out: name a file")
    trees = {OURS: _TREE, WITHOUT: _TREE}
    if args.against:
        trees[OLDER] = args.against.resolve()
    seconds: dict[str, list[float]] = {side: [] for side in trees}
    for _ in range(args.rounds):
        for side, tree in trees.items():
            with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as temporary:
                seconds[side].append(round(time_demo(side, tree, Path(temporary) / "demo"), 1))
    medians = {side: statistics.median(one) for side, one in seconds.items()}
    report: dict[str, Any] = {**provenance(hardware.detect()), "seconds": seconds}
    if OLDER in medians:
        report["ours / older"] = {
            side: round(medians[side] / medians[OLDER], 3) for side in (OURS, WITHOUT)
        }
        print(report["ours / older"], flush=True)
    atomic_files.write_json(args.out, report)


if __name__ == "__main__":
    main()
