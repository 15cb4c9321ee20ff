"""The tasks that record a judged cycle: report, run.json, and the store's copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows import artifacts, audit
from flows.cycle_run import CycleRun
from flows.prefect_helpers import is_transient_failure
from tasks.data.cycle_folder import Cycle
from tasks.decision.verdict import Decision
from tasks.records import archive, run_record
from tasks.records.audit_log import AuditedAct
from tasks.records.store import Store
from tasks.reporting.html import write_report

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_record(run: CycleRun, record: run_record.RunRecord, files: Sequence[Path]) -> None:
    """Write the report, then run.json: it marks a complete run, and names and hashes every file.

    Args:
        run: on whose cycle N+1 both are.
        record: what the stages decided.
        files: that the stages wrote for this run alone, report and figures excepted.
    """
    run_json = run_record.describe(record)
    report_files = report(run.cycle, run_json)
    run_record.write(run.cycle.next, run_json, [*files, *report_files])


@task(name="report", cache_policy=NO_CACHE)
def report(cycle: Cycle, run_json: dict[str, Any]) -> list[Path]:
    """Write the HTML report and its figures."""
    written = write_report(cycle.next, run_json)
    artifacts.report(cycle.next, written)
    return written


@task(
    name="keep-artifacts",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[3, 10, 30],
    retry_condition_fn=is_transient_failure,
)
def keep(run: CycleRun, store: Store, model: Path, decision: Decision) -> archive.Kept:
    """Keep every file of the cycle under the flow run's id; the list of hashes comes last."""
    cycle = run.cycle
    run_id = str(flow_run.id or "unknown")
    kept = archive.keep(
        store, cycle, run_id, model, decision.verdict.value, audio=run.config.store_audio
    )
    model_url = store.url(kept.prefix + model.relative_to(cycle.path.parent).as_posix())
    artifacts.kept(cycle.next, kept, model_url)
    audit.record(cycle, AuditedAct.STORE_UPLOAD, to=kept.url, files=kept.files, sent=kept.sent)
    return kept
