"""Cost of orchestration: the demo's cycle as a Prefect flow against its steps called directly.

    python -m benchmarks.overhead [--epochs 1] [--rows 18] [--out FILE.json]
    python -m benchmarks.overhead --demo 4 [--out FILE.json]

Both turn the same cycle with the embedded base, one after the other, each in its own folder; the
direct one calls the very functions that the tasks wrap. Two trainings on a shared machine differ by
more than what is to be measured, so that the flow's own share is also measured from within: the
time in which no step was at work. ``--demo`` compares the whole demo command, start and end of its
own server with it, with the same program without server, flow, task and artifact: so many of each,
an even number, each of them first in every second turn. What importing Prefect takes, which both
do, is added to what orchestration costs.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from asr_flywheel.demo.dataset import synthesise_cycle
from asr_flywheel.run_server import start_server_in_background, without_heartbeat
from tasks.common import atomic_files, hashing
from tasks.training.recipes import RecipeName
from tasks.training.run_info import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tasks.runtimes.hardware import Gpu

STARTS = 5
_ARTIFACT = re.compile(r"(create|update)_\w+_artifact")


def make_cycle(folder: Path, per_category: int) -> Path:
    """Make a cycle of some of the demo's rows, with a baseline that the gate passes."""
    cycle = folder / "cycle1"
    synthesise_cycle(cycle)
    by_category: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in atomic_files.read_jsonl(cycle / "manifest.jsonl"):
        by_category[row["entity_category"]].append(row)
    rows = [row for several in by_category.values() for row in several[:per_category]]
    atomic_files.write_jsonl(cycle / "manifest.jsonl", rows)
    atomic_files.write_jsonl(
        cycle / "per_sample.json", ({**row, "ref": row["text"], "hyp": ""} for row in rows)
    )
    return cycle


class Clock:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function to add its time to a name's."""

        @wraps(function)  # Prefect reads a task's parameters from its signature
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the function
            with self.spending(name):
                return function(*args, **kwargs)

        return call

    @contextmanager
    def spending(self, name: str) -> Iterator[None]:
        """Add the block's time to a name's."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spent[name] += time.perf_counter() - started


def _tasks() -> list[tuple[Any, str, Any]]:
    """List each task of the flow's modules under each name by which a module calls it."""
    from prefect import Task  # noqa: PLC0415 - a second that --help need not pay

    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith("flows.")]
    return [
        (module, name, member)
        for module in modules
        for name, member in vars(module).items()
        if isinstance(member, Task)
    ]


def _artifacts(publish: Any) -> list[str]:  # noqa: ANN401 - a module
    return [name for name in vars(publish) if _ARTIFACT.fullmatch(name)]


def run_directly(config: Any) -> float:  # noqa: ANN401 - flows are imported late
    """Time the steps alone: no flow, no task, no artifact, no event, no slot."""
    from flows import artifacts, events, gpu_slots  # noqa: PLC0415
    from flows import finetune_cycle as flow  # noqa: PLC0415

    with ExitStack() as stack:
        for module, name, task in _tasks():
            stack.enter_context(patch.object(module, name, task.fn))
        for name in _artifacts(artifacts):
            stack.enter_context(patch.object(artifacts, name, lambda *_, **__: None))
        stack.enter_context(patch.object(events, "emit_event", lambda **_: None))
        stack.enter_context(patch.object(gpu_slots, "gpu_slot", lambda _: nullcontext()))
        started = time.perf_counter()
        flow.finetune_cycle.fn(config)
        return time.perf_counter() - started


def run_orchestrated(config: Any) -> tuple[float, dict[str, float]]:  # noqa: ANN401
    """Time the whole flow; return also the seconds besides the steps."""
    from flows import artifacts, gpu_slots  # noqa: PLC0415
    from flows import finetune_cycle as flow  # noqa: PLC0415

    clock = Clock()
    with ExitStack() as stack:
        tasks = _tasks()
        for task in {id(task): task for _, _, task in tasks}.values():
            stack.enter_context(patch.object(task, "fn", clock.timed("inside", task.fn)))
        for module, name, task in tasks:
            stack.enter_context(patch.object(module, name, clock.timed("tasks", task)))
        for name in _artifacts(artifacts):
            timed = clock.timed("artifacts", getattr(artifacts, name))
            stack.enter_context(patch.object(artifacts, name, timed))
        slot = gpu_slots.gpu_slot

        @contextmanager
        def timed_slot(gpus: Sequence[Gpu]) -> Iterator[None]:
            lease = slot(gpus)
            with clock.spending("slots"):
                lease.__enter__()
            try:
                yield
            finally:
                with clock.spending("slots"):
                    lease.__exit__(None, None, None)

        stack.enter_context(patch.object(gpu_slots, "gpu_slot", timed_slot))
        hashed = clock.timed("hashes", hashing.sha256_file)
        stack.enter_context(patch.object(hashing, "sha256_file", hashed))
        run_cycle = flow.run_cycle
        began = 0.0

        @wraps(run_cycle)
        def timed_cycle(*args: Any) -> Any:  # noqa: ANN401 - as the function
            nonlocal began
            began = time.perf_counter()
            with clock.spending("cycle"):
                return run_cycle(*args)

        stack.enter_context(patch.object(flow, "run_cycle", timed_cycle))
        stack.enter_context(without_heartbeat())  # as the command line does
        started = time.perf_counter()
        flow.finetune_cycle(config)
        total = time.perf_counter() - started
    spent = clock.spent
    return total, {
        "flow start": began - started,
        "flow end": total - spent["cycle"] - (began - started),
        "tasks": spent["tasks"] - spent["inside"],
        "artifacts": spent["artifacts"],
        "slots": spent["slots"],
        "file hashes": spent["hashes"],
    }


def best_seconds(*arguments: str) -> float:
    """Return the best of a few starts of Python: other load of the machine does not count."""
    seconds = []
    for _ in range(STARTS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def measure(per_category: int, epochs: int) -> dict[str, Any]:
    """Time both ways and the parts of the difference; ``share`` is of the steps' own time."""
    from flows.config import CycleConfig  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as temporary:
        # Without PREFECT_API_URL a server is started for the run, meanwhile as in the demo.
        with start_server_in_background():
            first = make_cycle(Path(temporary) / "direct", per_category)
        second = Path(shutil.copytree(first, Path(temporary) / "orchestrated" / "cycle1"))
        direct, flow = (
            CycleConfig.model_validate({"cycle": cycle, "base": "embedded", "epochs": epochs})
            for cycle in (first, second)
        )
        alone = run_directly(direct)
        total, spent = run_orchestrated(flow)
    # Hashes are the steps' own work, and are told because they are not free.
    overhead = sum(seconds for name, seconds in spent.items() if name != "file hashes")
    return {
        "direct_s": round(alone, 2),
        "orchestrated_s": round(total, 2),
        "overhead_s": round(overhead, 2),
        "share": round(overhead / (total - overhead), 4),
        "spent_s": {name: round(seconds, 3) for name, seconds in spent.items()},
        "help_s": round(best_seconds("-m", "asr_flywheel", "--help"), 3),
        **_machine(),
    }


def demo_directly(folder: Path) -> None:
    """Run the demo command's steps without server and flow."""
    atexit.register(gc.freeze)
    from asr_flywheel.demo.prepare import prepare_baseline, prepare_cycle, prepare_general  # noqa: PLC0415
    from flows.config import CycleConfig  # noqa: PLC0415

    cycle = prepare_cycle(folder, seed=42)
    prepare_baseline(cycle)
    general = prepare_general(folder)
    run_directly(
        CycleConfig(cycle=cycle, general=general, base="embedded", recipe=RecipeName.DISTILLED)
    )


def whole_demo(turns: int) -> dict[str, Any]:
    """Time the demo command and its steps alone, each in a new process.

    ``share`` is what orchestration costs, the import of Prefect with it, over the steps without.
    """
    ways = {
        "orchestrated_s": ["asr_flywheel", "demo", "--dir"],
        "direct_s": ["benchmarks.overhead", "--directly"],
    }
    imported = best_seconds("-c", "import prefect") - best_seconds("-c", "")
    seconds_by_way: dict[str, list[float]] = {name: [] for name in ways}
    # The command starts a server of its own, whatever this shell is used for.
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    for turn in range(turns):
        # Each goes first as often: what the machine does in between favours neither.
        for name, line in sorted(ways.items(), reverse=turn % 2 == 0):
            with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as temporary:
                program = [sys.executable, "-m", *line, str(Path(temporary) / "demo")]
                started = time.perf_counter()
                subprocess.run(program, check=True, capture_output=True, env=environment)
                seconds_by_way[name].append(round(time.perf_counter() - started, 2))
                print(name, seconds_by_way[name][-1], flush=True)
    ours, theirs = (statistics.mean(seconds) for seconds in seconds_by_way.values())
    alone = theirs - imported
    return {
        **seconds_by_way,
        "import_s": round(imported, 3),
        "share": round((ours - alone) / alone, 4),
        **_machine(),
    }


def _machine() -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(["python -m benchmarks.overhead", *sys.argv[1:]]),
        "versions": versions(),
        "server": os.environ.get("PREFECT_API_URL") or "of its own",
        "cores": len(os.sched_getaffinity(0)),
        # Well over the number of cores, these figures tell of the other programs.
        "load": [round(load, 1) for load in os.getloadavg()],
    }


def table(figures: dict[str, Any]) -> list[tuple[str, float, float, float]]:
    """Return rows of (what, ours, theirs, theirs / ours) for all benchmarks' table, in seconds."""
    steps = figures["orchestrated_s"] - figures["overhead_s"]
    return [
        ("a cycle: flow, its steps directly (two runs)", *_pair(figures, "direct_s")),
        (
            "a cycle: flow, its own steps (one run)",
            figures["orchestrated_s"],
            round(steps, 2),
            round(steps / figures["orchestrated_s"], 3),
        ),
    ]


def _pair(figures: dict[str, Any], key: str) -> tuple[float, float, float]:
    ours, theirs = figures["orchestrated_s"], figures[key]
    return ours, theirs, round(theirs / ours, 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rows", type=int, default=18, help="Of each category; 17 pass the gate.")
    parser.add_argument("--demo", type=int, metavar="TURNS", help="The whole demo; an even number.")
    parser.add_argument("--directly", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.demo is not None and (args.demo < 2 or args.demo % 2):  # noqa: PLR2004 - a pair
        parser.error(f"--demo {args.demo}: must be even, so that each goes first as often")
    # The stages print their own lines; Prefect's console log would repeat them.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    if args.directly is not None:
        demo_directly(args.directly)
        return
    results = measure(args.rows, args.epochs) if args.demo is None else whole_demo(args.demo)
    print(json.dumps(results, indent=1))
    if args.out is not None:
        args.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
