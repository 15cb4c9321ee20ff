"""Rehearse on this machine what a user does first, by the product's own commands.

Every step runs `asr-flywheel` or a program of tasks/entrypoints in a process of its own, so that a
crash there ends that step alone. What a step prints goes to a log that stays on this machine; the
record gets names and figures (tasks/records/rehearsal.py).
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from asr_flywheel.rehearsal_commands import (
    LIMIT_S,
    Commands,
    FailedError,
    RehearsalPlan,
    RehearsalStep,
    SkippedError,
    StartedPrograms,
)
from asr_flywheel.rehearsal_steps import steps_of
from tasks.airgap import installed_bundle
from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.common.installation import find_bundle_root
from tasks.records import rehearsal
from tasks.records.rehearsal import Failure, Record, StepResult, StepStatus
from tasks.runtimes import hardware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tasks.runtimes.hardware import Hardware


BUNDLE = "offline-bundle"
JOBS = 5
_CORES_EACH = 3
"""A step starts programs most of its time, and each start keeps about one core busy."""


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
    order = [step.name for step in steps_of(plan)]
    lock, programs = Lock(), StartedPrograms()
    now = record

    def do(step: RehearsalStep, at_once: int = 1) -> None:
        nonlocal now
        result = _run_step(plan, step, Commands(plan, step.name, programs, at_once))
        if programs.is_stopped:
            return  # its programs were ended: this is no failure of the step
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
            with ThreadPoolExecutor(plan.jobs) as pool, _ended_with_us(programs):
                at_once = min(plan.jobs, len(group))
                list(pool.map(partial(do, at_once=at_once), group))
    now = replace(now, finished=rehearsal.now())
    save(plan, now)
    return now


@contextmanager
def _ended_with_us(programs: StartedPrograms) -> Iterator[None]:
    """End the programs of the steps where a signal ends the block: threads wait for them."""
    try:
        yield
    except BaseException:
        programs.end_all()
        raise


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


def _run_step(plan: RehearsalPlan, step: RehearsalStep, commands: Commands) -> StepResult:
    """Run one step; turn whatever goes wrong in it into its result."""
    started = time.monotonic()

    def result(state: StepStatus, **fields: Any) -> StepResult:  # noqa: ANN401 - fields of the record
        return StepResult(step.name, state, round(time.monotonic() - started, 1), **fields)

    try:
        return result(StepStatus.PASSED, figures=step.run(plan, commands))
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
        versions={**rehearsal.versions(), **_bundle()},
    )


def _bundle() -> dict[str, str]:
    """Return the start of the offline bundle's id that this environment is from, if it is."""
    root = find_bundle_root()
    try:
        installed = None if root is None else installed_bundle.read_record(root)
    except InputError:  # the step doctor says what is wrong with it
        return {BUNDLE: "unreadable"}
    return {} if installed is None else {BUNDLE: installed.bundle[:12]}


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
    names = [step.name for step in steps_of(plan)]
    for name in only:
        if name not in names:
            raise InputError(f"--only {name!r}: no such step. Fix: one of {', '.join(names)}.")
    passed = {
        step.name
        for step in (earlier.steps if earlier is not None else ())
        if step.state is StepStatus.PASSED
    }
    return [
        step
        for step in steps_of(plan)
        if (not only or step.name in only) and step.name not in passed
    ]


def jobs_for(host: Hardware) -> int:
    """Return how many steps at a time pay here; with few cores, start-ups slow each other."""
    return max(1, min(JOBS, host.cores // _CORES_EACH)) if host.has_gpu else 1


def plan_here(
    out: Path,
    base: Path | None,
    image: str | None,
    jobs: int | None,
    *,
    trust: bool = False,
    limit_s: float = LIMIT_S,
) -> RehearsalPlan:
    """Make the plan for this machine."""
    host = hardware.detect()
    return RehearsalPlan(out, host, base, image, jobs or jobs_for(host), trust, limit_s)
