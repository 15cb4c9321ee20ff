"""Slurm's commands: sbatch, squeue, scontrol, scancel, sinfo and srun, and what they answer.

The commands themselves, since no library serves: submitit runs pickled Python functions of one
environment, in no container, and simple_slurm writes the text of a script and watches nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.runtimes.failures import Fault, FaultError
from tasks.runtimes.slurm.settings import limit_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.runtimes.slurm.settings import SlurmSettings

JOB_NAME = "asr-flywheel"
PROGRAMS = ("sbatch", "scontrol", "scancel", "sinfo", "srun")
EXPORTED = ("HOME", "USER", "LOGNAME", "PATH", "LANG", "LC_ALL", "TZ", "XDG_CACHE_HOME",
            "CUDA_VISIBLE_DEVICES", "SLURM_CONF", "ASR_FLYWHEEL_SEPARATE_PROGRAMS")  # fmt: skip
"""The variables that a job gets. All others stay here: Slurm would keep them, keys too."""
_ASK_S = 60.0
_WAITS = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED",
                    "SPECIAL_EXIT", "RESV_DEL_HOLD", "SUSPENDED", "STOPPED"})  # fmt: skip
_RUNS = frozenset({"RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "RESIZING"})
RESUMABLE = frozenset({"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED", "TIMEOUT"})
"""The ends of a job after which another one can go on."""
NEVER = frozenset({"BadConstraints", "PartitionTimeLimit", "InvalidAccount", "InvalidQOS",
                   "PartitionNodeLimit", "JobHeldAdmin", "QOSNotAllowed"})  # fmt: skip
"""The reasons for which a job waits until somebody changes it, or the cluster."""


@dataclass(frozen=True, slots=True)
class JobState:
    """The state of a job.

    Attributes:
        name: in Slurm's words; "GONE" for a job that Slurm has forgotten.
        reason: why it waits or has ended.
        exit_code: "code:signal" of its script.
        node: where it runs.
    """

    name: str
    reason: str = ""
    exit_code: str = ""
    node: str = ""

    @property
    def waits(self) -> bool:
        """Whether it has not begun, or begins again."""
        return self.name in _WAITS

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.name not in _WAITS | _RUNS


@dataclass(frozen=True, slots=True)
class ClusterPartition:
    """A partition, from all lines that sinfo has of it.

    Attributes:
        limit_s: its longest time limit; None for none.
        up: whether it takes jobs that run.
        gres: its nodes' generic resources.
        default: whether it is the cluster's default.
    """

    name: str
    limit_s: int | None
    up: bool
    gres: frozenset[str]
    default: bool


def _run(line: Sequence[str]) -> subprocess.CompletedProcess[str]:
    program = shutil.which(line[0])
    if program is None:
        raise InputError(
            f"{line[0]}: no such program on the PATH, so no job can be submitted from here. Fix: "
            "run on a login node of the cluster (`which sbatch` tells), load its module, or take "
            "another --runtime."
        )
    try:
        return subprocess.run(
            [program, *line[1:]],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASK_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"},
        )
    except subprocess.TimeoutExpired as late:
        raise FaultError(
            Fault.SCHEDULER_DOWN, f"{line[0]} did not answer in {_ASK_S:.0f} s"
        ) from late


_UNREACHABLE = re.compile(
    r"Unable to contact slurm controller|Connection refused|Could not establish a configuration|"
    r"Socket timed out|Protocol authentication error|Munge encode failed|auth plugin|"
    r"[Ii]nvalid authentication credential|Zero Bytes were transmitted",
)


def _refused(program: str, completed: subprocess.CompletedProcess[str]) -> FaultError:
    words = completed.stderr.strip() or f"exit code {completed.returncode}"
    fault = Fault.SCHEDULER_DOWN if _UNREACHABLE.search(words) else Fault.JOB_REFUSED
    return FaultError(fault, f"{program}: {words}")


def require_programs() -> None:
    """Make sure that Slurm's commands are here.

    Raises:
        InputError: one of them is not.
    """
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise InputError(
            f"{', '.join(missing)}: not on the PATH, so no job can be submitted from here. Fix: "
            "run on a login node of the cluster, load its module, or take another --runtime."
        )


def partitions() -> dict[str, ClusterPartition]:
    """Return the cluster's partitions.

    Raises:
        FaultError: Slurm does not answer.
    """
    completed = _run(["sinfo", "--noheader", "--all", "--format=%P|%l|%a|%G"])
    if completed.returncode:
        raise _refused("sinfo", completed)
    found: dict[str, ClusterPartition] = {}
    for line in completed.stdout.splitlines():
        name, limit, available, gres = line.strip().split("|")
        default, name = name.endswith("*"), name.rstrip("*")
        before = found[name].gres if name in found else frozenset()
        # gpu:a100:4(S:0-1): the part in brackets says by which sockets.
        kinds = {re.sub(r"\(.*", "", one) for one in re.split(r",(?![^(]*\))", gres)}
        limit_s = limit_seconds(limit) if limit[:1].isdigit() else None
        found[name] = ClusterPartition(
            name, limit_s, available == "up", before | (kinds - {"null", ""}), default
        )
    return found


def options(settings: SlurmSettings) -> list[str]:
    """Return the options that sbatch and srun share."""
    named = {
        "--partition": settings.partition,
        "--account": settings.account,
        "--cpus-per-task": settings.cpus,
        "--mem": settings.memory,
    }
    return [
        "--nodes=1",
        "--ntasks=1",
        *(f"{name}={value}" for name, value in named.items() if value is not None),
        *settings.more,
    ]


def sbatch_line(settings: SlurmSettings, log: Path, script: Path, *, test: bool) -> list[str]:
    """Return the command that submits a script, or asks what Slurm would make of it.

    Args:
        settings: the user's.
        log: what the script prints.
        script: its path.
        test: whether it is only asked.
    """
    exported = [name for name in (*EXPORTED, *settings.export) if name in os.environ]
    return [
        "sbatch",
        *(["--test-only"] if test else ["--parsable"]),
        f"--job-name={JOB_NAME}",
        *options(settings),
        *([f"--time={settings.time_limit}"] if settings.time_limit else []),
        *([f"--gres={settings.gres}"] if settings.gres else []),
        "--requeue" if settings.requeue else "--no-requeue",
        f"--output={log}",
        "--open-mode=append",
        f"--chdir={script.parent}",
        # Names only: values would stand in the list of processes.
        f"--export={','.join(exported)}",
        str(script),
    ]


def submit(settings: SlurmSettings, log: Path, script: Path) -> str:
    """Submit a script, and return the job's id.

    Raises:
        FaultError: Slurm refuses it, or does not answer.
    """
    return _sbatch(settings, log, script, test=False).stdout.strip().partition(";")[0]


def try_out(settings: SlurmSettings, log: Path, script: Path) -> str:
    """Ask Slurm whether it would take a script; return its words, such as when it would start.

    Raises:
        FaultError: it would not, or does not answer.
    """
    words = _sbatch(settings, log, script, test=True).stderr
    return words.strip().removeprefix("sbatch: ")


def _sbatch(
    settings: SlurmSettings, log: Path, script: Path, *, test: bool
) -> subprocess.CompletedProcess[str]:
    """Give Slurm a script, or ask what it would do with it.

    Raises:
        FaultError: Slurm refuses it, or does not answer.
    """
    completed = _run(sbatch_line(settings, log, script, test=test))
    if completed.returncode:
        raise _refused("sbatch --test-only" if test else "sbatch", completed)
    return completed


def ask_node(settings: SlurmSettings, command: Sequence[str], within_s: int) -> tuple[int, str]:
    """Run a command on a node if one is free at once; without GPUs.

    Args:
        settings: the user's.
        command: program and arguments.
        within_s: how long a node may take to be free.

    Returns:
        The exit code, and what srun and the command wrote.
    """
    completed = _run(
        ["srun", f"--job-name={JOB_NAME}-question", *options(settings), "--time=1",
         f"--immediate={within_s}", "--export=HOME,USER,PATH,SLURM_CONF", "--chdir=/", *command]
    )  # fmt: skip
    return completed.returncode, completed.stderr.strip()


def state_of(job: str) -> JobState | None:
    """Return the state of a job; None where Slurm does not answer now."""
    try:
        completed = _run(["scontrol", "--oneliner", "show", "job", job])
    except FaultError:
        return None
    if completed.returncode:
        return JobState("GONE") if "Invalid job id" in completed.stderr else None
    if "JobState=" not in completed.stdout:
        return None
    told = dict(re.findall(r"(?:^|\s)(JobState|Reason|ExitCode|BatchHost)=(\S*)", completed.stdout))
    return JobState(
        told.get("JobState", ""),
        told.get("Reason", "").replace("None", ""),
        told.get("ExitCode", ""),
        told.get("BatchHost", ""),
    )


def cancel(job: str) -> None:
    """Have Slurm end a job; one that has ended stays as it is."""
    _run(["scancel", "--quiet", job])
