"""Run a job that decodes, and say why one failed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tasks.common.errors import TranscriptionError
from tasks.runtimes.failures import Fault, FaultError, fault_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.runtimes.base import Job, Runtime

_LOG_TAIL_LINES = 15
# Faults whose remedies are for any job; the others' speak of training.
_OF_THE_HOST = {
    Fault.HOST_MEMORY,
    Fault.SHARED_MEMORY,
    Fault.DISK_FULL,
    Fault.DRIVER_TOO_OLD,
    Fault.NO_USABLE_GPU,
    Fault.GPU_BUSY,
    Fault.BAD_REQUEST,
    Fault.BYTES_OVERWRITTEN,
    Fault.NO_BOOSTING,
}


def run_job(
    job: Job, runtime: Runtime, on_event: Callable[[Mapping[str, Any]], None], name: str
) -> None:
    """Run a job that decodes to its end.

    Args:
        job: what to run.
        runtime: where.
        on_event: is called with each event that it prints; libraries print there as well.
        name: of what it does, for the message.

    Raises:
        TranscriptionError: it failed; holds the log's end.
    """

    def read(line: str) -> None:
        if line.startswith('{"event"'):
            on_event(json.loads(line))

    job_result = runtime.execute(job, read, lambda: None)
    if job_result.exit_code != 0:
        tail = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        fault = fault_of(job_result, job.log)
        remedy = f"{FaultError(fault)}\n" if fault in _OF_THE_HOST else ""
        raise TranscriptionError(
            f"{remedy}{name} ended with exit code {job_result.exit_code}. "
            "The end of its log:\n" + "\n".join(f"  {line}" for line in tail[-_LOG_TAIL_LINES:])
        )
