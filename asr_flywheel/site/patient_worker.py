"""Prefect's process worker, which outlives the retry of a run whose process has not ended yet.

``python -m asr_flywheel.site.patient_worker worker start …`` is ``prefect worker start …``. Prefect
3.8.8 ends a worker with a limit when it is given a run that still holds one of its places: one that
failed a moment ago, and that somebody retries at once. The worker's other runs end with it.
"""

from __future__ import annotations

import warnings
from typing import Any

from prefect.cli import app
from prefect.workers.process import ProcessWorker

# It is registered in the place of Prefect's on purpose.
warnings.filterwarnings("ignore", message="Type 'PatientProcessWorker'", category=UserWarning)


class PatientProcessWorker(ProcessWorker):
    """A process worker that leaves a run for later while its former process holds a place."""

    type = ProcessWorker.type

    async def _submit_scheduled_flow_runs(self, flow_run_response: list[Any]) -> list[Any]:
        held = self._held()
        ready = [entry for entry in flow_run_response if entry.flow_run.id not in held]
        submitted: list[Any] = await super()._submit_scheduled_flow_runs(ready)
        return submitted

    def _held(self) -> set[object]:
        """Return the ids of the runs that hold a place."""
        if self._limiter is None:
            return set()
        return set(self._limiter.statistics().borrowers)


if __name__ == "__main__":
    app()
