"""Rehearse on this machine what a user does first, by the product's own commands.

Every step runs `asr-flywheel` or a program of tasks/entrypoints in a process of its own, so that a
crash there ends that step alone. What a step prints goes to a log that stays on this machine; the
record gets names and figures (tasks/records/rehearsal.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.common.processes import end_with_parent
from tasks.data.cycle_folder import open_cycle
from tasks.models import catalog
from tasks.models.nemo_archive import open_archive
from tasks.records import rehearsal, run_record
from tasks.records.rehearsal import Failure, Record, StepResult, StepStatus
from tasks.runtimes import hardware
from tasks.runtimes.base import ENTRY
from tasks.training.run import read_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tasks.runtimes.hardware import Hardware

LIMIT_S = 420.0
"""Of one command: a step that hangs ends, and the next ones go on."""
LARGE_GPU_MIB = 40_000
"""The 617 M graph trained with a peak of 27 GB at batch 16 of 15 s (benchmarks/results)."""
LARGE_DISK_BYTES = 45_000_000_000
"""Its checkpoints; the product asks for fifteen times the archive of 2.5 GB."""
_LARGE_EVERY = 2
"""It takes every second row: they are enough for a few steps."""
JOBS = 3
_CORES_EACH = 4
_RUN_EPOCHS, _RESUME_EPOCHS = 2, 3
_STOP_S = 60.0
_POLL_S = 0.05
_LARGE_NAME = "tdt-617m-random.nemo"  # as entrypoints/parakeet_graph.py names it
_WAITS_FOR_CHECKPOINT = 1
"""The epoch in which a run is stopped: by then the one before has left a checkpoint."""


class SkippedError(Exception):
    """A step cannot run here; the message says why."""


class FailedError(Exception):
    """A step failed.

    Attributes:
        failure: what the record says.
        figures: what was measured before.
    """

    def __init__(
        self, failure: Failure, reason: str = "", figures: dict[str, Any] | None = None
    ) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason
        self.figures = figures or {}


@dataclass(frozen=True, slots=True)
class RehearsalPlan:
    """The choices of a rehearsal, and its host.

    Attributes:
        out: folder of the record, the logs and the cycles.
        host: this machine.
        base: the user's base; None for the bundled ones.
        image: of the container runtime; None for the local runtime.
        trust: whether the user's base may hold more than weights.
        jobs: steps at a time, once the first ones are done; a lock lets one job at a time on a GPU.
    """

    out: Path
    host: Hardware
    base: Path | None = None
    image: str | None = None
    jobs: int = 1
    trust: bool = False

    @property
    def steps(self) -> tuple[RehearsalStep, ...]:
        """The steps in their order."""
        return BUNDLED if self.base is None else OWN

    @property
    def speech(self) -> Path:
        """The folder of the synthetic speech: cycle1 and general."""
        return self.out / "demo"

    @property
    def runtime(self) -> list[str]:
        """The options that choose the runtime."""
        if self.image is None:
            return []
        return ["--runtime", "container", "--image", self.image]

    @property
    def options(self) -> list[str]:
        """Return the options that choose the runtime and let commands load the user's base."""
        return [*self.runtime, *(["--trust"] if self.trust else [])]

    @property
    def record_path(self) -> Path:
        """The record's file."""
        return self.out / "rehearsal.json"


@dataclass(frozen=True, slots=True)
class RehearsalStep:
    """One rehearsed step.

    Attributes:
        name: as ``--only`` takes it.
        does: what it does, for people.
        run: does it and returns its figures.
        alone: whether no other step may run beside it.
    """

    name: str
    does: str
    run: Callable[[RehearsalPlan, Commands], dict[str, Any]]
    alone: bool = False


@dataclass
class Commands:
    """Starts commands for one step and keeps what they print.

    Attributes:
        plan: of the rehearsal.
        step: its name.
    """

    plan: RehearsalPlan
    step: str
    _log: Path = field(init=False)

    def __post_init__(self) -> None:
        self._log = self.plan.out / "logs" / f"{self.step}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)

    def flywheel(self, *arguments: str | Path) -> str:
        """Run an `asr-flywheel` command to its end and return what it printed.

        Raises:
            FailedError: it did not end with exit code 0.
        """
        return self.program("-m", "asr_flywheel", *arguments)

    def program(self, *arguments: str | Path) -> str:
        """Run a Python program to its end and return what it printed.

        Raises:
            FailedError: it did not end with exit code 0.
        """
        code, printed = self.wait(self.start(*arguments), LIMIT_S)
        if code != 0:
            raise FailedError(rehearsal.failure(printed, code))
        return printed

    def start(self, *arguments: str | Path) -> StartedProgram:
        """Start a Python program with the interpreter of this process."""
        line = [*end_with_parent(), sys.executable, *map(str, arguments)]
        with self._log.open("ab") as out:
            out.write(f"$ {' '.join(line)}\n".encode())
            out.flush()
            output_start = out.tell()
            process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.plan.out,
                env=self._make_environment(),
            )
        return StartedProgram(process, output_start)

    def wait(self, program: StartedProgram, limit_s: float) -> tuple[int, str]:
        """Return a program's exit code and output; end one that runs too long.

        Raises:
            FailedError: it ran longer than ``limit_s``.
        """
        try:
            code = program.process.wait(limit_s)
        except subprocess.TimeoutExpired as timeout:
            program.end()
            raise FailedError(Failure("TimeoutExpired"), f"ran over {limit_s:.0f} s") from timeout
        finally:
            program.end()
        return code, self._read_output(program)

    def _read_output(self, program: StartedProgram) -> str:
        with self._log.open("rb") as log:
            log.seek(program.begins)
            return log.read().decode("utf-8", errors="replace")

    def _make_environment(self) -> dict[str, str]:
        """Return an environment with a Prefect of the step's own, apart from the user's site."""
        without = {"PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE"}
        environment = {name: value for name, value in os.environ.items() if name not in without}
        home = self.plan.out / "prefect" / self.step
        home.mkdir(parents=True, exist_ok=True)
        return {
            **environment,
            "PREFECT_HOME": str(home),
            # A new home's server makes its database first, several of them at a time.
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "PYTHONUNBUFFERED": "1",
        }


@dataclass(frozen=True, slots=True)
class StartedProgram:
    """A program that was started, and where its output begins in the log."""

    process: subprocess.Popen[bytes]
    begins: int

    def end(self) -> None:
        """End it if it still runs; the kernel ends its jobs with it."""
        for ask in (self.process.terminate, self.process.kill):
            if self.process.poll() is not None:
                return
            ask()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(15)


def rehearse(
    plan: RehearsalPlan,
    record: Record,
    steps: Sequence[RehearsalStep],
    report: Callable[[StepResult], None] = lambda _: None,
) -> Record:
    """Run steps and write the record after each of them.

    Args:
        plan: of the rehearsal.
        record: what an earlier start has left, or a new one.
        steps: the steps to run now, in their order.
        report: is called with each result.

    Returns:
        The record, with every result.
    """
    started, earlier_seconds = time.monotonic(), record.seconds
    order = [step.name for step in plan.steps]
    lock = Lock()
    now = record

    def do(step: RehearsalStep) -> None:
        nonlocal now
        result = _run_step(plan, step)
        with lock:
            now = replace(
                now.with_step(result, order),
                seconds=round(earlier_seconds + time.monotonic() - started, 1),
            )
            save(plan, now)
            report(result)

    for group in _group_steps(steps):
        if plan.jobs == 1 or len(group) == 1:
            for step in group:
                do(step)
        else:
            with ThreadPoolExecutor(plan.jobs) as pool:
                list(pool.map(do, group))
    now = replace(now, finished=rehearsal.now())
    save(plan, now)
    return now


def _group_steps(steps: Sequence[RehearsalStep]) -> Iterator[list[RehearsalStep]]:
    """Group steps that may run at the same time; a step marked ``alone`` is its own group."""
    group: list[RehearsalStep] = []
    for step in steps:
        if step.alone:
            if group:
                yield group
            yield [step]
            group = []
        else:
            group.append(step)
    if group:
        yield group


def _run_step(plan: RehearsalPlan, step: RehearsalStep) -> StepResult:
    """Run one step; turn whatever goes wrong in it into its result."""
    started = time.monotonic()

    def result(state: StepStatus, **fields: Any) -> StepResult:  # noqa: ANN401 - fields of the record
        return StepResult(step.name, state, round(time.monotonic() - started, 1), **fields)

    try:
        return result(StepStatus.PASSED, figures=step.run(plan, Commands(plan, step.name)))
    except SkippedError as skipped:
        return result(StepStatus.SKIPPED, reason=str(skipped))
    except FailedError as failed:
        return result(
            StepStatus.FAILED, reason=failed.reason, failure=failed.failure, figures=failed.figures
        )
    except Exception as wrong:  # noqa: BLE001 - the next step must run, whatever this one met
        return result(StepStatus.FAILED, failure=Failure(type(wrong).__name__))


def begin(plan: RehearsalPlan) -> Record:
    """Start a record without steps."""
    return Record(
        started=rehearsal.now(),
        base="bundled" if plan.base is None else "own",
        runtime="local" if plan.image is None else "container",
        image=rehearsal.public_image(plan.image),
        machine=rehearsal.machine(plan.host),
        versions=rehearsal.versions(),
    )


def save(plan: RehearsalPlan, record: Record) -> None:
    """Write the record where it was asked for, and where doctor looks for it."""
    atomic_files.write_json(plan.record_path, record.as_dict())
    # A home that cannot be written must not end a rehearsal.
    with suppress(InputError, OSError):
        name = f"{record.started.replace(':', '')}-rehearsal.json"
        atomic_files.write_json(rehearsal.home() / name, record.as_dict())


def choose(plan: RehearsalPlan, only: Sequence[str], earlier: Record | None) -> list[RehearsalStep]:
    """Choose the steps to run.

    Args:
        plan: of the rehearsal.
        only: names; empty for all.
        earlier: the record to go on from; what passed there is not run again.

    Raises:
        InputError: a name that is no step.
    """
    names = [step.name for step in plan.steps]
    for name in only:
        if name not in names:
            raise InputError(f"--only {name!r}: no such step. Fix: one of {', '.join(names)}.")
    passed = {
        step.name
        for step in (earlier.steps if earlier is not None else ())
        if step.state is StepStatus.PASSED
    }
    return [
        step for step in plan.steps if (not only or step.name in only) and step.name not in passed
    ]


def jobs_for(host: Hardware) -> int:
    """Return how many steps at a time pay here; with few cores, start-ups slow each other."""
    return max(1, min(JOBS, host.cores // _CORES_EACH)) if host.has_gpu else 1


def plan_here(
    out: Path, base: Path | None, image: str | None, jobs: int | None, *, trust: bool = False
) -> RehearsalPlan:
    """Make the plan for this machine."""
    host = hardware.detect()
    return RehearsalPlan(out, host, base, image, jobs or jobs_for(host), trust)


# What the steps do.


def _run_doctor(plan: RehearsalPlan, commands: Commands) -> dict[str, Any]:
    base = str(plan.base) if plan.base is not None else catalog.EMBEDDED
    started = commands.start(
        "-m", "asr_flywheel", "doctor", "--base", base, "--json", "--dir", plan.out, *plan.runtime
    )
    code, printed = commands.wait(started, LIMIT_S)
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
    commands.flywheel("demo", "--dir", plan.speech)
    return _read_figures(plan.speech / "cycle1")


def _make_cycle_step(name: str, base: Path) -> Callable[[RehearsalPlan, Commands], dict[str, Any]]:
    """Make a step that runs a whole cycle of one of the bundled bases."""

    def run(plan: RehearsalPlan, commands: Commands) -> dict[str, Any]:
        if not base.is_file():
            raise SkippedError("this installation has no such base")
        return _run_whole_cycle(plan, commands, base, name)

    return run


def _run_own_base(plan: RehearsalPlan, commands: Commands) -> dict[str, Any]:
    if plan.base is None:
        raise SkippedError("no base was named")
    return _run_whole_cycle(plan, commands, plan.base, "own")


def _run_whole_cycle(
    plan: RehearsalPlan, commands: Commands, base: Path, name: str
) -> dict[str, Any]:
    """Run baseline and cycle; base and tuned model are decoded by one process."""
    _require_trainable(plan, base)
    cycle = _copy_cycle(plan, commands, name)
    commands.flywheel("transcribe", cycle, "--model", base, *plan.options)
    commands.flywheel(*_run_line(plan, cycle, base, _RUN_EPOCHS))
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
    cycle = _copy_cycle(plan, commands, "resume")
    commands.flywheel("transcribe", cycle, "--model", base, *plan.options)
    line = _run_line(plan, cycle, base, _RESUME_EPOCHS, general=False)
    program = commands.start("-m", "asr_flywheel", *line)
    deadline = time.monotonic() + LIMIT_S
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
    """Run the 617 M graph with random weights: one epoch, best checkpoint, restore, decode."""
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
        cycle = _copy_cycle(plan, commands, "large", every=_LARGE_EVERY)
        commands.flywheel("transcribe", cycle, "--model", base, *plan.options)
        commands.flywheel(*_run_line(plan, cycle, base, 1, general=False), "--batch", "16")
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
    RehearsalStep("demo", "the whole demo, with the embedded base", _run_demo, alone=True),
    # The longest first, where steps run beside each other.
    RehearsalStep(
        "large", "the 617 M TDT graph with random weights, one epoch and decoding", _run_large
    ),
    RehearsalStep(
        "tdt",
        "a whole cycle with a TDT base, base and tuned model decoded by one process",
        _make_cycle_step("tdt", catalog.embedded_path().with_name("embedded_tdt.nemo")),
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
