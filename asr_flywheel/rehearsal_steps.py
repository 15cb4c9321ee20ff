"""What each step of a rehearsal does, by the product's own commands."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_flywheel.rehearsal_commands import (
    Commands,
    FailedError,
    RehearsalPlan,
    RehearsalStep,
    SkippedError,
)
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.models import catalog
from tasks.models.nemo_archive import open_archive
from tasks.records import rehearsal, run_record
from tasks.records.rehearsal import Failure
from tasks.runtimes.base import ENTRY
from tasks.training.run import read_info

if TYPE_CHECKING:
    from collections.abc import Callable


LARGE_GPU_MIB = 40_000
"""The 617 M graph trained with a peak of 27 GB at batch 16 of 15 s (benchmarks/results)."""
LARGE_DISK_BYTES = 45_000_000_000
"""Its checkpoints; the product asks for fifteen times the archive of 2.5 GB."""
_FEW_ROWS_EVERY = 2
"""Steps whose figures say nothing take every second row: they are enough for a few batches."""
_CHOOSING_SHARE = "0.2"
"""A fifth of the rows holds twenty drug rows, which the choice of a mixture asks for."""
_RUN_EPOCHS, _RESUME_EPOCHS = 2, 3
_STOP_S = 60.0
_POLL_S = 0.05
_LARGE_NAME = "tdt-617m-random.nemo"  # as entrypoints/parakeet_graph.py names it
_WAITS_FOR_CHECKPOINT = 1
"""The epoch in which a run is stopped: by then the one before has left a checkpoint."""


def _run_doctor(plan: RehearsalPlan, commands: Commands) -> dict[str, Any]:
    base = str(plan.base) if plan.base is not None else catalog.EMBEDDED
    started = commands.start(
        "-m", "asr_flywheel", "doctor", "--base", base, "--json", "--dir", plan.out, *plan.runtime
    )
    code, printed = commands.wait(started, commands.limit_s)
    document = _parse_last_json(printed)
    if document is None:
        raise FailedError(rehearsal.failure(printed, code))
    states = {finding["check"]: finding["state"] for finding in document["findings"]}
    figures = {"checks": states, **(document.get("decoded") or {})}
    if code != 0:
        missing = [check for check, state in states.items() if state == "missing"]
        raise FailedError(Failure("", code), f"doctor finds missing: {', '.join(missing)}", figures)
    return figures


def _parse_last_json(printed: str) -> dict[str, Any] | None:
    """Parse a command's JSON document; a library may have printed something before it."""
    start = 0 if printed.startswith("{") else printed.find("\n{") + 1
    try:
        document = json.loads(printed[start:])
    except ValueError:
        return None
    return document if isinstance(document, dict) and "findings" in document else None


def _run_demo(plan: RehearsalPlan, commands: Commands) -> dict[str, Any]:
    commands.flywheel("demo", "--dir", plan.demo)
    return _read_figures(plan.demo / "cycle1")


def _make_cycle_step(
    name: str, base: Path, *options: str
) -> Callable[[RehearsalPlan, Commands], dict[str, Any]]:
    """Make a step that runs a whole cycle of one of the bundled bases, by options of `run`."""

    def run(plan: RehearsalPlan, commands: Commands) -> dict[str, Any]:
        if not base.is_file():
            raise SkippedError("this installation has no such base")
        return _run_whole_cycle(plan, commands, base, name, *options)

    return run


def _run_own_base(plan: RehearsalPlan, commands: Commands) -> dict[str, Any]:
    if plan.base is None:
        raise SkippedError("no base was named")
    return _run_whole_cycle(plan, commands, plan.base, "own")


def _run_whole_cycle(
    plan: RehearsalPlan, commands: Commands, base: Path, name: str, *options: str
) -> dict[str, Any]:
    """Run baseline and cycle; base and tuned model are decoded by one process."""
    _require_trainable(plan, base)
    cycle = _copy_cycle(plan, commands, name)
    commands.flywheel("transcribe", cycle, "--model", base, *plan.options)
    commands.flywheel(*_run_line(plan, cycle, base, _RUN_EPOCHS), *options)
    figures = _read_figures(cycle)
    if not all(figures["decode_rows"].values()):
        raise FailedError(
            Failure(), "base and tuned model were not decoded by one process", figures
        )
    return figures


def _run_resume(plan: RehearsalPlan, commands: Commands) -> dict[str, Any]:
    """Stop a run in the middle of an epoch by SIGTERM, and run it again.

    Not by SIGINT: a shell has what it starts in the background ignore that.
    """
    base = plan.base or catalog.embedded_path()
    _require_trainable(plan, base)
    cycle = _copy_cycle(plan, commands, "resume", every=_FEW_ROWS_EVERY)
    commands.flywheel("transcribe", cycle, "--model", base, *plan.options)
    line = _run_line(plan, cycle, base, _RESUME_EPOCHS, general=False)
    program = commands.start("-m", "asr_flywheel", *line)
    deadline = time.monotonic() + commands.limit_s
    try:
        while (epochs := _count_finished_epochs(cycle)) < _WAITS_FOR_CHECKPOINT:
            if program.process.poll() is not None or time.monotonic() > deadline:
                code, printed = commands.wait(program, 0.1)
                raise FailedError(
                    rehearsal.failure(printed, code), "the run ended before it could be stopped"
                )
            time.sleep(_POLL_S)
        stop_start = time.monotonic()
        program.process.terminate()
        exit_code, _ = commands.wait(program, _STOP_S)
    finally:
        program.end()
    figures: dict[str, Any] = {
        "stopped_after_epochs": epochs,
        "stopping_seconds": round(time.monotonic() - stop_start, 1),
        "stopped_exit_code": exit_code,
    }
    if exit_code == 0:
        raise FailedError(Failure("", exit_code), "a stopped run ended with exit code 0", figures)
    commands.flywheel(*line)
    figures |= _read_figures(cycle)
    starts = figures["starts"]
    if len(starts) <= 1 or not starts[-1]["step"]:
        raise FailedError(Failure(), "the second run did not go on from a checkpoint", figures)
    return figures


def _count_finished_epochs(cycle: Path) -> int:
    """Count the finished epochs of a running training whose next epoch has begun."""
    finished_epochs = 0
    for events in (cycle / "models").glob(".*.work/events.jsonl"):
        epochs_seen = 0
        for line in events.read_text(encoding="utf-8", errors="replace").splitlines():
            if '"event": "epoch"' in line:
                epochs_seen += 1
            elif '"event": "step"' in line:
                finished_epochs = max(finished_epochs, epochs_seen)
    return finished_epochs


def _run_large(plan: RehearsalPlan, commands: Commands) -> dict[str, Any]:
    """Run the 617 M graph with random weights: one epoch, best checkpoint, restore, decode.

    With compiled layers, which check their gradients on this machine: by itself an epoch of so few
    rows has plain ones, and a user's first long training would be the first to compile.
    """
    if not plan.host.has_gpu:
        raise SkippedError("no GPU")
    if plan.host.smallest_gpu_mib < LARGE_GPU_MIB:
        raise SkippedError(f"the GPU has less than {LARGE_GPU_MIB} MiB")
    if shutil.disk_usage(plan.out).free < LARGE_DISK_BYTES:
        raise SkippedError(f"less than {LARGE_DISK_BYTES // 10**9} GB of disk are free")
    folder = plan.out / "large"
    try:
        commands.program(ENTRY / "parakeet_graph.py", folder / "base")
        base = folder / "base" / _LARGE_NAME
        cycle = _copy_cycle(plan, commands, "large", every=_FEW_ROWS_EVERY)
        commands.flywheel("transcribe", cycle, "--model", base, *plan.options)
        line = _run_line(plan, cycle, base, 1, general=False)
        commands.flywheel(*line, "--batch", "16", "--compile", "on")
        return _read_figures(cycle)
    finally:
        # Some 15 GB that nobody needs.
        shutil.rmtree(folder / "base", ignore_errors=True)
        shutil.rmtree(folder / "cycle1" / "models", ignore_errors=True)


def _require_trainable(plan: RehearsalPlan, base: Path) -> None:
    if not plan.host.has_gpu and open_archive(base).decoder.is_tdt:
        raise SkippedError("a TDT base cannot be trained on a CPU: its loss needs CUDA")


def _copy_cycle(plan: RehearsalPlan, commands: Commands, name: str, *, every: int = 1) -> Path:
    """Copy a cycle of the synthetic speech to a folder of its own.

    Args:
        plan: of the rehearsal.
        commands: of the step.
        name: of the folder.
        every: 1 takes each row, 2 every second one, and so on.
    """
    with plan.speech_lock:
        if not (plan.speech / "general" / "manifest.jsonl").is_file():
            commands.program("-m", "asr_flywheel.demo", plan.speech)
    cycle = plan.out / name / "cycle1"
    # What an earlier try left would be found again instead of being rehearsed.
    shutil.rmtree(plan.out / name / "cycle1", ignore_errors=True)
    shutil.rmtree(plan.out / name / "cycle2", ignore_errors=True)
    source = plan.speech / "cycle1"
    shutil.copytree(source / "audio", cycle / "audio")
    rows = (source / "manifest.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (cycle / "manifest.jsonl").write_text("".join(rows[::every]), encoding="utf-8")
    return cycle


def _run_line(
    plan: RehearsalPlan, cycle: Path, base: Path, epochs: int, *, general: bool = True
) -> list[str | Path]:
    line: list[str | Path] = [
        "run",
        cycle,
        "--base",
        base,
        "--epochs",
        str(epochs),
        *plan.options,
    ]
    if general:
        line += ["--general", plan.speech / "general" / "manifest.jsonl"]
        line += ["--audio-root", plan.speech / "general"]
    else:
        # Nothing chooses among mixtures: these steps rehearse other things.
        line += ["--general", "none", "--interpolate", "off"]
    return line


def _read_figures(cycle: Path) -> dict[str, Any]:
    """Return the figures of the cycle that has just been run.

    Raises:
        FailedError: it left no decision.
    """
    following = open_cycle(cycle).next
    try:
        run = run_record.read(following)
        info = read_info(Path(run["sft"]["training_run_info"]))
        return rehearsal.cycle_figures(run_record.read_decision(following), run, info)
    except InputError as wrong:
        raise FailedError(Failure(type(wrong).__name__), "the cycle left no decision") from wrong


_DOCTOR = RehearsalStep(
    "doctor", "what a run needs, and a second of speech decoded", _run_doctor, alone=True
)
_RESUME = RehearsalStep(
    "resume", "a run is stopped in training and goes on from its checkpoint", _run_resume
)
BUNDLED = (
    _DOCTOR,
    # The longest first, where steps run beside each other.
    RehearsalStep("demo", "the whole demo, with the embedded base", _run_demo),
    RehearsalStep(
        "large", "the 617 M TDT graph with random weights, one epoch and decoding", _run_large
    ),
    RehearsalStep(
        "tdt",
        "a whole cycle with a TDT base and a chosen mixture, all decoded by one process",
        _make_cycle_step(
            "tdt",
            catalog.embedded_path().with_name("embedded_tdt.nemo"),
            "--selection-share",
            _CHOOSING_SHARE,
        ),
    ),
    RehearsalStep(
        "rnnt",
        "a whole cycle with an RNN-T base",
        _make_cycle_step("rnnt", catalog.embedded_path().with_name("embedded_rnnt.nemo")),
    ),
    _RESUME,
)
"""Without a base of the user's."""
OWN = (
    _DOCTOR,
    RehearsalStep("cycle", "a whole cycle with your base", _run_own_base, alone=True),
    _RESUME,
)
"""With one."""


def steps_of(plan: RehearsalPlan) -> tuple[RehearsalStep, ...]:
    """Return the steps of a plan in their order."""
    return BUNDLED if plan.base is None else OWN
