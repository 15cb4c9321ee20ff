"""Commands of a benchmark run side by side, each on cores of its own, within a budget."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.pinned_tasks import PinnedTask, TaskEnd, run_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(tasks: Sequence[PinnedTask], cores: Sequence[int], budget: float) -> dict[str, TaskEnd]:
    """Run tasks and return their ends by name, in the order in which they ended."""
    ends: list[TaskEnd] = []
    run_tasks(tasks, cores, 2, time.monotonic() + budget, ends.append)
    return {end.task.name: end for end in ends}


def test_a_task_is_held_to_its_cores_and_waits_for_what_it_needs(tmp_path: Path) -> None:
    """It sees as many cores as it is given; what it needs has ended well before."""
    core = min(os.sched_getaffinity(0))
    script = "import os; print(sorted(os.sched_getaffinity(0)), os.environ['WORD'])"
    tasks = [
        PinnedTask("second", [sys.executable, "-c", script], 1, tmp_path / "second", ("first",)),
        PinnedTask("first", [sys.executable, "-c", script], 4, tmp_path / "first"),
        PinnedTask("fails", [sys.executable, "-c", "raise SystemExit(3)"], 1, tmp_path / "fails"),
        PinnedTask("never", [sys.executable, "-c", script], 1, tmp_path / "never", ("fails",)),
    ]
    tasks = [PinnedTask(**{**vars(task), "environment": {"WORD": task.name}}) for task in tasks]
    ends = run(tasks, [core], 60)
    assert [(name, end.exit_code) for name, end in ends.items()] == [
        ("first", 0),
        ("second", 0),
        ("fails", 3),
    ]
    assert (tmp_path / "first").read_text() == f"[{core}] first\n"
    assert ends["first"].cores == (core,)
    assert ends["first"].processor_s > 0


def test_what_runs_at_the_budgets_end_is_killed_with_its_children(tmp_path: Path) -> None:
    """A task's process group ends; the others are not started."""
    child = tmp_path / "child"
    script = f"sleep 60 & echo $! > {child}; wait"
    tasks = [
        PinnedTask("long", ["/bin/sh", "-c", script], 1, tmp_path / "log"),
        PinnedTask("late", ["/bin/true"], 1, tmp_path / "late"),
    ]
    started = time.monotonic()
    ends = run(tasks, [min(os.sched_getaffinity(0))], 1.5)
    assert time.monotonic() - started < 10
    assert [(name, end.exit_code) for name, end in ends.items()] == [("long", None)]
    stat = Path(f"/proc/{int(child.read_text())}/stat")
    until = time.monotonic() + 10
    while stat.is_file() and _state(stat) != "Z" and time.monotonic() < until:
        time.sleep(0.05)
    assert not stat.is_file() or _state(stat) == "Z"


def _state(stat: Path) -> str:
    """Return the state of a process; "Z" is one that has ended, unless nobody asked for it yet."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    return "Z"
