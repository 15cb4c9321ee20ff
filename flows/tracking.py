"""The tracking of a flow's run in MLflow, as its stages use it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from blocks.mlflow_tracking import open_target
from flows import audit, console
from tasks.common import hashing
from tasks.common.errors import FlywheelError
from tasks.records import run_record
from tasks.records.audit_log import AuditedAct
from tasks.records.tracking.run_tracker import RunTracker
from tasks.reporting.kept_models import standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flows.config import CycleConfig
    from flows.cycle_run import CycleRun
    from tasks.data.cycle_folder import Cycle
    from tasks.data.preflight import PreflightResult
    from tasks.data.training_set import TrainingSet


@contextmanager
def tracked(config: CycleConfig, cycle: Cycle) -> Iterator[RunTracker]:
    """Yield the tracker of a run, and end it as the run ends.

    Raises:
        InputError: there is no such server or block, or MLflow's client is not installed.
    """
    target = None if config.track is None else open_target(config.track)
    tracker = RunTracker(cycle, target, lambda line: console.print_stage("track", line))
    try:
        yield tracker
    except (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
        tracker.end("KILLED")
        raise
    except BaseException:
        tracker.end("FAILED")
        raise
    tracker.end()


def begin(run: CycleRun, rows: PreflightResult, data: TrainingSet) -> None:
    """Begin to track a run, once its rows are split."""
    if run.config.track is None:
        return
    run.tracker.begin(
        run.config.model_dump(mode="json"),
        hashing.sha256_file(rows.manifest),
        hashing.sha256(run.base_model),
        {"row_set_sha256": data.content},
    )
    for path, context, count in (
        (run.cycle.manifest, "cycle", len(rows.rows)),
        (data.train, "training", data.train_rows),
        (data.selection, "selection", len(data.split.selection)),
        (data.validation, "held-out", len(data.split.validation)),
        (data.distillation, "distillation", data.distilled),
    ):
        if path is not None:
            run.tracker.dataset(path, context, hashing.sha256_file(path), count)
    audit.record(run.cycle, AuditedAct.TRACK, to=run.config.track)


def finish(run: CycleRun) -> None:
    """Track what a finished run has left; what is wrong with other cycles does not fail it."""
    if run.config.track is None:
        return
    try:
        kept = standing(run.cycle.path.parent)
        run.tracker.finished(run_record.read(run.cycle.next), kept)
    except FlywheelError as wrong:
        console.print_stage("track", f"the run's end is not tracked: {wrong}")
