"""The environment of a program on a cluster's node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.runtimes.base import Job
from tasks.runtimes.slurm.runtime import SlurmRuntime
from tasks.runtimes.slurm.settings import SlurmSettings

if TYPE_CHECKING:
    from pathlib import Path

CPU_JOB = SlurmSettings()


@pytest.mark.parametrize(
    ("settings", "turns"),
    [
        (CPU_JOB, "3000"),
        (CPU_JOB.model_copy(update={"export": ("OMP_WAIT_POLICY",)}), None),
        (SlurmSettings(gres="gpu:1"), None),
    ],
)
def test_threads_that_wait_leave_their_core_to_others_on_a_cpu(
    settings: SlurmSettings, turns: str | None, tmp_path: Path
) -> None:
    """Unless the user exports a policy of his own, which the node's agent passes on."""
    job = Job("transcription", "transcribe.py", {}, tmp_path, (), {})
    task = SlurmRuntime(settings, tmp_path)._task(job)
    assert task.environment.get("GOMP_SPINCOUNT") == turns
