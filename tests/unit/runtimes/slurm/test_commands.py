"""The command lines of Slurm, and what its answers mean."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.runtimes.failures import Fault, FaultError
from tasks.runtimes.slurm import commands
from tasks.runtimes.slurm.settings import SlurmSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have every command answer what is set."""

    def set_answer(out: str = "", error: str = "", code: int = 0) -> None:
        def run(line: Sequence[str]) -> subprocess.CompletedProcess[str]:
            return subprocess.CompletedProcess(line, code, out, error)

        monkeypatch.setattr(commands, "_run", run)

    return set_answer


def test_a_job_gets_no_variable_that_was_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm keeps a job's variables in its state files; values stand on no command line."""
    monkeypatch.setenv("PREFECT_API_KEY", "sesame")
    monkeypatch.setenv("SITE_CACHE", "/scratch")
    monkeypatch.setenv("PATH", "/usr/bin")
    settings = SlurmSettings(export=("SITE_CACHE", "NOT_SET"))
    line = commands.sbatch_line(settings, Path("/x/log"), Path("/x/job.sh"), test=False)
    (exported,) = [word for word in line if word.startswith("--export=")]
    names = exported.removeprefix("--export=").split(",")
    assert "SITE_CACHE" in names
    assert not {"PREFECT_API_KEY", "NOT_SET", "ALL"} & set(names)
    assert not any("sesame" in word or "/scratch" in word for word in line)


def test_every_setting_is_in_the_line() -> None:
    """One node, one task, and what the user settled."""
    settings = SlurmSettings(
        partition="gpu", account="asr", time_limit="4:00:00", gres="gpu:2", cpus=16,
        memory="64G", requeue=True, more=("--constraint=a100",),
    )  # fmt: skip
    line = commands.sbatch_line(settings, Path("/x/log"), Path("/x/job.sh"), test=True)
    assert line[:2] == ["sbatch", "--test-only"]
    assert line[-1] == "/x/job.sh"
    for word in (
        "--partition=gpu", "--account=asr", "--time=4:00:00", "--gres=gpu:2", "--requeue",
        "--cpus-per-task=16", "--mem=64G", "--constraint=a100", "--nodes=1", "--ntasks=1",
    ):  # fmt: skip
        assert word in line


def test_partitions_are_gathered_over_their_lines(answers: Callable[..., None]) -> None:
    """A partition has a line for each kind of node; brackets are not of the resource's name."""
    answers(
        "gpu|2-00:00:00|up|gpu:a100:4(S:0-1),nvme:2\n"
        "gpu|2-00:00:00|up|gpu:h200:8\n"
        "main*|infinite|up|(null)\n"
        "old|30:00|inact|(null)\n"
    )
    found = commands.partitions()
    assert found["gpu"].gres == {"gpu:a100:4", "nvme:2", "gpu:h200:8"}
    assert found["gpu"].limit_s == 2 * 86400
    assert found["main"].limit_s is None
    assert found["main"].default
    assert not found["main"].gres
    assert not found["old"].up
    assert found["old"].limit_s == 1800


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ("sbatch: error: Unable to contact slurm controller (connect failure)", "scheduler-down"),
        ("sbatch: error: Munge encode failed: Failed to access", "scheduler-down"),
        ("sbatch: error: Invalid account or account/partition combination", "job-refused"),
    ],
)
def test_a_refusal_and_a_silence_are_told_apart(
    answers: Callable[..., None], error: str, fault: str
) -> None:
    """Slurm's own words stay in the message."""
    answers(error=error, code=1)
    with pytest.raises(FaultError) as failed:
        commands.submit(SlurmSettings(), Path("/x/log"), Path("/x/job.sh"))
    assert failed.value.fault is Fault(fault)
    assert error in str(failed.value)


def test_a_state_is_read_and_a_forgotten_job_has_ended(answers: Callable[..., None]) -> None:
    """No answer is no state; the job may run on."""
    line = "JobId=7 JobName=asr-flywheel JobState={} Reason={} ExitCode=0:15 BatchHost=n1 Power="
    answers(line.format("RUNNING", "None"))
    state = commands.state_of("7")
    assert state == commands.JobState("RUNNING", "", "0:15", "n1")
    assert not state.has_ended
    assert not state.waits
    answers(line.format("PENDING", "Resources"))
    state = commands.state_of("7")
    assert state is not None
    assert state.waits
    assert state.reason == "Resources"
    answers(error="slurm_load_jobs error: Invalid job id specified", code=1)
    state = commands.state_of("7")
    assert state is not None
    assert state.has_ended
    answers(error="Unable to contact slurm controller", code=1)
    assert commands.state_of("7") is None


def test_a_machine_without_slurm_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The programs that are missing are named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="sbatch, scontrol, scancel, sinfo, srun: not on the PATH"):
        commands.require_programs()
