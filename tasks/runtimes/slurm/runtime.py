"""The Slurm runtime: jobs of a run are tasks of one job on a node.

Files are exchanged through a file system that both see, so that progress, losses and logs are read
where a local run has them. A job that a node's failure or its time limit ended is followed by
another one, in which training goes on from its last checkpoint.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.runtimes import program_server
from tasks.runtimes.base import (
    OWN_CONFIG,
    OWN_SCRIPT,
    STOCK_CONFIG,
    Job,
    JobResult,
    Script,
    entrypoints,
    place_in,
    programs_identity,
)
from tasks.runtimes.failures import Fault, FaultError
from tasks.runtimes.hardware import cpu_environment
from tasks.runtimes.local import LocalRuntime
from tasks.runtimes.slurm import allocation as allocations
from tasks.runtimes.slurm import commands, launchers
from tasks.runtimes.slurm.allocation import Allocation, JobEndedError
from tasks.runtimes.slurm.log_reader import LogReader
from tasks.runtimes.slurm.settings import SlurmSettings, limit_seconds
from tasks.runtimes.slurm.spool import EXIT_ABANDONED, EXIT_FULL, EXIT_UNSEEN, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tasks.runtimes.hardware import Hardware
    from tasks.runtimes.slurm.commands import ClusterPartition, JobState

_POLL_S = 0.1
_NODE_ASKED_S = 15
_NO_FOLDER, _NO_PYTHON, _NO_LAUNCHER, _NO_IMAGE = 41, 42, 43, 44
_QUESTION = (
    f'test -r "$1" || exit {_NO_FOLDER}; test -x "$2" || exit {_NO_PYTHON}; '
    f'test -z "$3" || command -v "$3" >/dev/null || exit {_NO_LAUNCHER}; '
    f'case "$4" in /*) test -e "$4" || exit {_NO_IMAGE};; esac'
)
_IN_IMAGE = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    "HOME": "/tmp",  # noqa: S108 - the image's own
    "USER": "asr-flywheel",
    "LOGNAME": "asr-flywheel",
}
_SCRATCH = "scratch"
_CHECKED: set[tuple[SlurmSettings, Path]] = set()
"""What this process has asked the cluster: each stage checks its runtime."""


def _silent(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class SlurmRuntime:
    """Runs the jobs of a run in one job of a cluster.

    Attributes:
        settings: of the job.
        place: the folder of the cycles, which the nodes must see.
        stock_script: the user's copy of the stock script, for launcher none.
        trust: whether a .nemo may run code of its own.
        programs: the folder of the entry programs.
        report: gets lines on the job for people.
    """

    settings: SlurmSettings
    place: Path
    stock_script: Path | None = None
    trust: bool = False
    programs: Path = field(default_factory=entrypoints)
    report: Callable[[str], None] = _silent

    @property
    def hardware(self) -> Hardware:
        """What the job asks Slurm for."""
        return self.settings.hardware

    @property
    def script(self) -> Script:
        """The local runtime's, or the one in the image."""
        if not self._in_image:
            return self._here.script
        if self.settings.examples is None:
            folder = launchers.PROGRAMS
            return Script(str(folder / OWN_SCRIPT.name), str(folder / OWN_CONFIG), own=True)
        examples = self.settings.examples
        return Script(f"{examples}/speech_to_text_finetune.py", f"{examples}/{STOCK_CONFIG}")

    @property
    def identity(self) -> str:
        """The local runtime's, or the image and what of ours trains in it."""
        if not self._in_image:
            return self._here.identity
        parts = [f"{self.settings.launcher} {self.settings.image}"]
        if self.script.own:
            own = (self.programs / OWN_SCRIPT.name, self.programs / OWN_CONFIG)
            parts += [hashing.sha256_file(path) for path in own]
        return " ".join([*parts, *programs_identity(self.programs)])

    @property
    def _in_image(self) -> bool:
        return self.settings.launcher != "none"

    @property
    def _here(self) -> LocalRuntime:
        return LocalRuntime(
            self.settings.hardware, self.stock_script, trust=self.trust, programs=self.programs
        )

    def check(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Refuse what Slurm would refuse or could never run, before anything is submitted.

        A node is asked whether it sees the folder of the cycles, if one is free at once; otherwise
        the job looks first.

        Raises:
            InputError: no Slurm here, no such partition, a time limit or GPUs that it does not
                have, or a folder, interpreter, launcher or image that the node does not see.
            FaultError: Slurm does not answer, or would not take the job.
        """
        commands.require_programs()
        if not self._in_image:
            self._here.check(report)
        elif self.stock_script is not None:
            raise InputError(
                f"{name_of('stock_script')}: {self.settings.launcher} runs a script of the image. "
                "Fix: name its folder in the image (examples), or take launcher none."
            )
        key = (self.settings, self.place)
        if key in _CHECKED:
            return
        self._require_fit(commands.partitions())
        spool = allocations.prepare(self.settings, self.place)
        try:
            words = commands.try_out(self.settings, spool.log, spool.script)
            self._ask_node(spool.heartbeat, report)
        finally:
            allocations.remove(spool)
        report(f"Slurm would take it: {words}")
        promise = launchers.PROMISES[self.settings.launcher]
        report(f"launcher {self.settings.launcher}: {promise.words} (docs/slurm.md)")
        _CHECKED.add(key)

    def _require_fit(self, partitions: dict[str, ClusterPartition]) -> None:
        settings = self.settings
        known = ", ".join(sorted(partitions)) or "none"
        name = settings.partition or next(
            (partition.name for partition in partitions.values() if partition.default), ""
        )
        if not name:
            raise InputError(
                f"{name_of('slurm.partition')}: the cluster has no default one. Fix: name one of "
                f"its partitions ({known})."
            )
        if (found := partitions.get(name)) is None:
            raise InputError(
                f"{name_of('slurm.partition')} {name!r}: the cluster has no such one. Fix: name "
                f"one of its partitions ({known})."
            )
        if not found.up:
            raise InputError(
                f"{name_of('slurm.partition')} {name!r}: is not up, so its jobs do not run. Fix: "
                f"name another one ({known}), or wait until `sinfo` shows it up."
            )
        if settings.time_limit and found.limit_s is not None:
            seconds = limit_seconds(settings.time_limit)
            if seconds > found.limit_s:
                raise InputError(
                    f"{name_of('slurm.time_limit')} {settings.time_limit}: is {seconds} s, and "
                    f"jobs of partition {name!r} may take {found.limit_s} s. Fix: ask for that at "
                    "most; training goes on in another job."
                )
        for part in (settings.gres or "").split(","):
            resource = part.partition(":")[0]
            if resource and not any(one.partition(":")[0] == resource for one in found.gres):
                has = ", ".join(sorted(found.gres)) or "none"
                raise InputError(
                    f"{name_of('slurm.gres')} {part}: partition {name!r} has no {resource} (it has "
                    f"{has}). Fix: name a partition that has, or leave gres out to train on a CPU."
                )

    def _ask_node(self, seen: Path, report: Callable[[str], None]) -> None:
        launcher, image = launchers.PROGRAM_OF[self.settings.launcher], self.settings.image
        exit_code, words = commands.ask_node(
            self.settings,
            ["/bin/sh", "-c", _QUESTION, "sh", str(seen), sys.executable, launcher, image],
            _NODE_ASKED_S,
        )
        wrong = {
            _NO_FOLDER: f"{self.place}: a node does not see this folder. Fix: move the cycles to a "
            "file system that login node and nodes share.",
            _NO_PYTHON: f"{sys.executable}: a node does not see this interpreter. Fix: make the "
            "environment on a file system that login node and nodes share.",
            _NO_LAUNCHER: f"{name_of('slurm.launcher')}: a node has no program {launcher}. Fix: "
            "load its module in "
            "`setup`, or take a launcher that the site has.",
            _NO_IMAGE: f"{name_of('slurm.image')} {image}: a node does not see it. Fix: put it on "
            "a file system that "
            "login node and nodes share.",
        }.get(exit_code)
        # A module that set-up loads may bring the launcher; only the job can tell.
        if wrong and not (exit_code == _NO_LAUNCHER and self.settings.setup):
            raise InputError(wrong)
        if exit_code:
            report(f"no node could be asked what it sees; the job looks first ({words[:200]})")

    def path_mapper(self, work: Path, reads: Sequence[Path]) -> Callable[[Path], str]:
        """Return a function that maps paths to those of the node, or of the image on it.

        Raises (from the function):
            InputError: a path that no bind holds.
        """
        if not self._in_image:
            return self._here.path_mapper(work, reads)
        binds = launchers.binds_of(work, reads, self.programs)
        return place_in([(bind.source, bind.target) for bind in binds])

    def execute(
        self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
    ) -> JobResult:
        """Run the job as a task on the node, in another of Slurm's jobs if one ended too early.

        Raises:
            FaultError: Slurm cannot run it, or its jobs end before it does.
            InputError: another live process is running the same job.
        """
        job.write_request({"trust": self.trust})
        task = self._task(job)
        reader = LogReader(job.log, on_line)
        restarts = self.settings.restarts
        while True:
            allocation = allocations.of_this_process(
                self.settings, self.place, job.work, self.report
            )
            checkpoints = _checkpoints(job.work)
            alone = allocation.tasks == 0
            try:
                return self._follow(allocation, task, job, reader, poll)
            except JobEndedError as ended:
                allocations.forget(allocation, cancel=True)
                again = self._go_on(allocation, ended)
                if again is None:
                    return self._result(ended.state)
                advanced = not alone or _checkpoints(job.work) != checkpoints
                restarts -= again
                if restarts < 0 or (ended.state.name == "TIMEOUT" and not advanced):
                    raise self._gave_up(allocation, ended.state, job, advanced=advanced) from ended
            except BaseException:
                allocations.forget(allocation, cancel=True)
                raise

    def _follow(
        self,
        allocation: Allocation,
        task: Task,
        job: Job,
        reader: LogReader,
        poll: Callable[[], None],
    ) -> JobResult:
        if self._in_image:
            binds = launchers.binds_of(job.work, job.reads, self.programs)
            launchers.make_mount_points(allocation.spool.points, binds)
            task = self._in_launcher(allocation, task, job)
        number = allocation.send(task, job.work)
        while True:
            exit_code = allocation.exit_code(number)
            reader.read()
            poll()
            if exit_code is not None:
                return JobResult(exit_code, image=self.settings.image)
            time.sleep(_POLL_S)

    def _task(self, job: Job) -> Task:
        job.log.write_bytes(b"")
        argv = [self.settings.python, str(launchers.PROGRAMS / job.program)]
        if self._in_image:
            argv.append(self.path_mapper(job.work, job.reads)(job.request_file))
            return Task(argv, str(job.log), "/")
        here = self._here
        argv = [here.python, str(self.programs / job.program), str(job.request_file)]
        environment = {
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
            **self._cpu_environment(),
        }
        served = ""
        if not self.hardware.has_gpu and program_server.serves(job.program, self.programs):
            served = here.python
        return Task(argv, str(job.log), "/tmp", environment, served)  # noqa: S108 - a plain name

    def _in_launcher(self, allocation: Allocation, task: Task, job: Job) -> Task:
        scratch = job.work / _SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        environment = {
            **_IN_IMAGE,
            "TMPDIR": str(launchers.WORK / _SCRATCH),
            **self._cpu_environment(),
        }
        binds = launchers.binds_of(job.work, job.reads, self.programs)
        line = launchers.line(self.settings, task.argv, binds, allocation.spool.points, environment)
        return Task(line, task.log, task.cwd, {"USER": os.environ.get("USER") or "root"})

    def _cpu_environment(self) -> dict[str, str]:
        return {} if self.hardware.has_gpu else cpu_environment(self.settings.export)

    def _go_on(self, allocation: Allocation, ended: JobEndedError) -> int | None:
        """Return by how much the restarts that are left shrink; None where the job's end counts.

        Raises:
            FaultError: there is no use in another job.
        """
        state = ended.state
        code, _, signal = state.exit_code.partition(":")
        tail = f"\n{allocation.log_tail}" if allocation.log_tail else ""
        if state.name in commands.RESUMABLE:
            self.report(f"job {allocation.job} ended ({state.name}); another one goes on")
            return 1
        if state.name == "COMPLETED" and not ended.begun:
            return 0  # it had been idle for too long just when this stage came
        if state.name == "CANCELLED":
            raise FaultError(Fault.JOB_CANCELLED, f"job {allocation.job}")
        if state.name == "DEADLINE":
            raise FaultError(Fault.TIME_LIMIT, f"job {allocation.job} could not end in time")
        if code == str(EXIT_FULL):
            raise FaultError(Fault.DISK_FULL, f"{self.place}: on the node{tail}")
        if code == str(EXIT_ABANDONED):
            self.report(f"job {allocation.job} had been left alone; another one goes on")
            return 1
        if not ended.begun and state.name != "OUT_OF_MEMORY":
            if code == str(EXIT_UNSEEN) or (state.name == "FAILED" and not tail):
                raise FaultError(
                    Fault.FOLDER_UNSEEN,
                    f"{self.place}: job {allocation.job} on {state.node or 'its node'} could not "
                    f"write its log there ({state.name} {state.exit_code})",
                )
            raise FaultError(
                Fault.JOB_FAILED,
                f"job {allocation.job}: {state.name}, exit code {code}, signal {signal}{tail}",
            )
        return None

    def _result(self, state: JobState) -> JobResult:
        code, _, signal = state.exit_code.partition(":")
        number = -int(signal) if signal.isdigit() and int(signal) else int(code or 0) or 1
        return JobResult(number, state.name == "OUT_OF_MEMORY", self.settings.image)

    def _gave_up(
        self, allocation: Allocation, state: JobState, job: Job, *, advanced: bool
    ) -> FaultError:
        fault = Fault.TIME_LIMIT if state.name == "TIMEOUT" else Fault.NODE_LOST
        why = (
            f"its {self.settings.restarts} restarts are used up"
            if advanced
            else "it made no checkpoint in that time, so another job would end in the same way"
        )
        return FaultError(fault, f"job {allocation.job} ({job.name}) ended {state.name}: {why}")


def _checkpoints(work: Path) -> frozenset[tuple[str, int, int]]:
    """Return the checkpoints in a work folder, by name, size and time."""
    found = []
    for path in work.rglob("*.ckpt"):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path), status.st_size, status.st_mtime_ns))
    return frozenset(found)
