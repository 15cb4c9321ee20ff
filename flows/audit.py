"""Acts of flows in the audit log of the clinic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.runtime import flow_run

from tasks.records import audit_log

if TYPE_CHECKING:
    from tasks.data.cycle_folder import Cycle
    from tasks.records.audit_log import AuditedAct


def record(cycle: Cycle, act: AuditedAct, **ids: object) -> None:
    """Append an act on a cycle, with the id of the flow run that does it.

    Raises:
        InputError: the log cannot be written.
    """
    run_id = flow_run.id
    audit_log.record(
        cycle.clinic, act, cycle.path.name, None if run_id is None else str(run_id), **ids
    )
