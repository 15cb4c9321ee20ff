"""The worker of a site: a run that is retried while its former process ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
import pytest
from prefect.utilities.dispatch import lookup_type
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from asr_flywheel.site.patient_worker import PatientProcessWorker

if TYPE_CHECKING:
    from uuid import UUID


def submit_held(kind: type[ProcessWorker], run: UUID) -> list[Any]:
    """What a worker makes of a run that holds one of its two places."""

    async def submit() -> list[Any]:
        worker = kind(work_pool_name="gpu")
        worker._limiter = anyio.CapacityLimiter(2)
        worker._limiter.acquire_on_behalf_of_nowait(run)
        scheduled: Any = SimpleNamespace(flow_run=SimpleNamespace(id=run))
        return await worker._submit_scheduled_flow_runs([scheduled])

    return asyncio.run(submit())


def test_a_run_that_still_holds_a_place_is_left_for_later() -> None:
    """Prefect's own worker ends there; once it does not, this class has no use."""
    run = uuid4()
    assert submit_held(PatientProcessWorker, run) == []
    with pytest.raises(RuntimeError, match="already holding"):
        submit_held(ProcessWorker, run)


def test_prefects_command_takes_this_worker_for_a_process_pool() -> None:
    """It is registered in the place of Prefect's."""
    assert lookup_type(BaseWorker, "process") is PatientProcessWorker
