"""The flow: looks for new or grown manifests in a store's inbox and tells of each, once.

It trains nothing. It brings the cycle's files here and emits an event, which the automation "next
cycle" (off until somebody switches it on) answers with a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from blocks.parameter_types import AbsolutePath, StoreName
from blocks.stores import open_store
from flows import audit, console, events
from flows.config import CycleConfig
from flows.config_fields import WhenBusy
from flows.prefect_helpers import is_transient_failure
from tasks.common.counted import counted
from tasks.common.parameter_model import ParameterModel
from tasks.data.cycle_lock import CycleBusyError
from tasks.records import inbox
from tasks.records.audit_log import AuditedAct
from tasks.records.store import Store

if TYPE_CHECKING:
    from pathlib import Path


class WatchConfig(ParameterModel):
    """Where cycles arrive, where they go, and how the runs that they start are to be made."""

    store: StoreName = Field(
        title="Store",
        description="Where the build stage leaves cycles: a block such as s3-artifact-store/NAME, "
        "s3://bucket/prefix, or an absolute folder of the worker's host.",
    )
    prefix: str = Field(
        "",
        title="Inbox",
        pattern=r"^$|^[^/].*/$",
        description="Before `cycle<N>/manifest.jsonl` in the store, such as `inbox/ward-7/`.",
    )
    cycles: AbsolutePath = Field(
        title="Folder of cycles",
        description="Absolute, on the worker's host; gets `cycle<N>` with its audio.",
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        title="Settings of the run",
        description="As the form of finetune-cycle names them, without the cycle; for instance "
        '{"base": "embedded", "recipe": "production"}.',
    )

    def run_for(self, cycle: Path) -> CycleConfig:
        """The parameters of the run that a cycle's arrival starts.

        Raises:
            ValidationError: of pydantic, if a setting is wrong; names it.
        """
        # Behind a run that still works on the cycle before: refused, it would never be asked again.
        waits = {"when_busy": WhenBusy.WAIT}
        return CycleConfig.model_validate({**waits, **self.settings, "cycle": cycle})


@flow(name="watch-inbox")
def watch_inbox(config: WatchConfig) -> int:
    """Tell of every manifest that is new or has grown.

    Returns:
        How many there were.
    """
    config.run_for(config.cycles / "cycle1")  # a wrong setting shows now, not at the first arrival
    store = open_store(config.store)
    found = inbox.arrivals(store, config.prefix, config.cycles)
    console.print_stage(
        "inbox", f"{store.url(config.prefix)}: {counted(len(found), 'new manifest')}"
    )
    for arrival in found:
        take(config, store, arrival)
    return len(found)


@task(
    name="take",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[5, 30],
    retry_condition_fn=is_transient_failure,
)
def take(config: WatchConfig, store: Store, arrival: inbox.Arrival) -> None:
    """Bring the cycle here, tell of it, and then remember it; later, if a run works on it."""
    try:
        cycle = inbox.bring(
            store, arrival, config.cycles, lambda line: console.print_stage("", line)
        )
    except CycleBusyError as busy:
        console.print_stage("inbox", f"left for the next look: {busy}")
        return
    audit.record(
        cycle, AuditedAct.STORE_DOWNLOAD, origin=store.url(arrival.prefix), rows=arrival.rows
    )
    run = config.run_for(cycle.path)
    events.arrived(cycle, arrival, run.model_dump(mode="json", exclude_unset=True))
    inbox.remember(config.cycles, arrival)
