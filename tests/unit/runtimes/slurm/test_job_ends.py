"""What a job's end means for the run: another job, or a fault with a name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.runtimes.failures import OF_A_CLUSTER, Fault, FaultError
from tasks.runtimes.slurm.allocation import JobEndedError
from tasks.runtimes.slurm.commands import JobState
from tasks.runtimes.slurm.runtime import SlurmRuntime
from tasks.runtimes.slurm.settings import SlurmSettings
from tasks.runtimes.slurm.spool import EXIT_ABANDONED, EXIT_FULL, EXIT_UNSEEN

if TYPE_CHECKING:
    from pathlib import Path

FAULTS = {
    "cancelled": (JobState("CANCELLED"), True, "", Fault.JOB_CANCELLED),
    "its deadline": (JobState("DEADLINE"), True, "", Fault.TIME_LIMIT),
    "a full folder": (JobState("FAILED", exit_code=f"{EXIT_FULL}:0"), True, "", Fault.DISK_FULL),
    "no folder": (JobState("FAILED", exit_code=f"{EXIT_UNSEEN}:0"), False, "", Fault.FOLDER_UNSEEN),
    "no log": (JobState("FAILED", exit_code="1:0"), False, "", Fault.FOLDER_UNSEEN),
    "no launcher": (JobState("FAILED", exit_code="127:0"), False, "not found", Fault.JOB_FAILED),
}
GOES_ON = {
    "a node that failed": (JobState("NODE_FAIL"), True, 1),
    "its time limit": (JobState("TIMEOUT"), True, 1),
    "left alone": (JobState("FAILED", exit_code=f"{EXIT_ABANDONED}:0"), True, 1),
    "idle for too long": (JobState("COMPLETED", exit_code="0:0"), False, 0),
}


def go_on(place: Path, state: JobState, tail: str, *, begun: bool) -> int | None:
    """What the runtime makes of a job's end."""
    allocation: Any = SimpleNamespace(job="7", log_tail=tail)
    runtime = SlurmRuntime(SlurmSettings(), place)
    return runtime._go_on(allocation, JobEndedError(state, begun=begun))


@pytest.mark.parametrize("end", FAULTS)
def test_an_end_without_a_way_on_has_a_name(end: str, tmp_path: Path) -> None:
    """Each tells the fault, and what the job's log said."""
    state, begun, tail, fault = FAULTS[end]
    with pytest.raises(FaultError) as failed:
        go_on(tmp_path, state, tail, begun=begun)
    assert failed.value.fault is fault
    assert tail in str(failed.value)


@pytest.mark.parametrize("end", GOES_ON)
def test_another_job_goes_on(end: str, tmp_path: Path) -> None:
    """A restart is spent, except where the job had only been idle."""
    state, begun, spent = GOES_ON[end]
    assert go_on(tmp_path, state, "", begun=begun) == spent


def test_a_program_s_own_end_counts(tmp_path: Path) -> None:
    """A program that failed in its job has the fault that its log names."""
    state = JobState("FAILED", exit_code="1:0")
    assert go_on(tmp_path, state, "loss is nan", begun=True) is None


def test_a_cluster_s_faults_have_remedies() -> None:
    """None is without a fix."""
    for fault in OF_A_CLUSTER:
        remedy = str(FaultError(fault)).removeprefix(f"{fault.value}: ")
        assert remedy.endswith("."), fault
