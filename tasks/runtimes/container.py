"""The container runtime: NVIDIA's image in a Docker Engine (specification, 4d).

Inputs are mounted read-only, one folder is writable, there is no network, and outputs belong to
the caller. A container that an earlier, killed run left behind is found by its labels and removed;
one whose owner still lives is left alone, and the new run is refused.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.runtimes import (
    container_sharing,
    docker_engine,
    images,
    job_owner,
    orphaned_containers,
    program_server,
)
from tasks.runtimes.base import (
    ENTRY,
    ENTRYPOINTS_VARIABLE,
    LOCKS,
    LOCKS_WAIT_S,
    OWN_CONFIG,
    OWN_SCRIPT,
    STOCK_CONFIG,
    Job,
    JobResult,
    Script,
    device_locks,
    entrypoints,
    place_in,
    programs_identity,
)
from tasks.runtimes.container_settings import EXAMPLES, Bind, ContainerSettings, ContainerSpec
from tasks.runtimes.failures import Fault, FaultError, from_log
from tasks.runtimes.hardware import Hardware
from tasks.runtimes.shared_container import NotSharedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.runtimes.images import Held

_WORK = PurePosixPath("/workspace/out")
_INPUTS = PurePosixPath("/workspace/in")
_PROGRAMS = PurePosixPath("/opt/asr-flywheel")
_LOCKS = PurePosixPath("/workspace/locks")
_SCRATCH = "scratch"
# A cold start of an interpreter from a disk that has just got 12 GB; no image takes longer.
_PROBE_S = 300.0
_PROBED: dict[tuple[str, str, str, Path], Held] = {}
"""What the images of this process hold: the engine may be gone when the record is written."""


@dataclass(frozen=True, slots=True)
class ContainerRuntime:
    """Runs jobs in containers of one image.

    Attributes:
        settings: of the container.
        host: what this machine has.
        trust: whether a .nemo may run code of its own.
        locks_wait_s: how long a job waits for a GPU that another one holds.
        programs: the folder of the entry programs, which containers see read-only.
    """

    settings: ContainerSettings
    host: Hardware
    trust: bool = False
    locks_wait_s: float = LOCKS_WAIT_S
    programs: Path = field(default_factory=entrypoints)

    @property
    def hardware(self) -> Hardware:
        """The hardware that the container may use: the chosen GPUs only."""
        return replace(self.host, gpus=self.settings.chosen(self.host))

    @property
    def script(self) -> Script:
        """The stock script in the image, or our own where the image has none."""
        examples = self.held().examples
        if not examples:
            return Script(str(_PROGRAMS / OWN_SCRIPT.name), str(_PROGRAMS / OWN_CONFIG), own=True)
        return Script(f"{examples}/speech_to_text_finetune.py", f"{examples}/{STOCK_CONFIG}")

    @property
    def identity(self) -> str:
        """The image, whose script it is; the content of a script of ours, and others' programs."""
        parts = [self.settings.image]
        if self.script.own:
            own = (self.programs / OWN_SCRIPT.name, self.programs / OWN_CONFIG)
            parts += [hashing.sha256_file(path) for path in own]
        return " ".join([*parts, *programs_identity(self.programs)])

    def check(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Make sure that an engine answers and has an image that can train here.

        It is pulled if it must be, but not if its name tells that the driver is too old for it.

        Raises:
            FaultError: none does, its socket may not be used, the image cannot be had, holds no
                NeMo or no script where one was named, or wants a newer driver.
            InputError: the host lacks the chosen GPUs, or outputs cannot belong to the chosen user.
        """
        self.settings.chosen(self.host)
        if self.settings.user != "caller" and os.getuid() != 0:
            raise InputError(
                f"user {self.settings.user!r}: only a worker that runs as root can give outputs to "
                "somebody else. Fix: leave it at caller."
            )
        image, gpus = self.settings.image, self.settings.chosen(self.host)
        client = docker_engine.connect()
        images.require_driver(image, images.need(image, {}), gpus)
        docker_engine.ensure_image(client, image, report)
        environment = docker_engine.environment(client, image)
        images.require_driver(image, images.need(image, environment), gpus)
        contents = self._probe(client, report)
        word = images.require_driver(image, images.need(image, environment, contents.cuda), gpus)
        for line in (word, contents.untried_warning()):
            if line:
                report(f"{image}: {line}")
        _require_nemo(image, contents)
        self._require_script(contents, report)
        if self.programs != ENTRY:
            report(f"{ENTRYPOINTS_VARIABLE}: the programs of {self.programs} train and transcribe")

    def held(self) -> Held:
        """Return the image's contents, from a probe that runs once for each image.

        Raises:
            FaultError: the image cannot be had, or cannot be probed.
        """
        probed = _PROBED.get(self._key)
        return probed or self._probe(docker_engine.connect(), lambda _: None)

    @property
    def _key(self) -> tuple[str, str, str, Path]:
        settings = self.settings
        return (settings.image, settings.python, settings.examples, self.programs)

    def _probe(self, client: Any, report: Callable[[str], None]) -> Held:
        settings = self.settings
        image_id = docker_engine.image_id(client, settings.image, report)
        program = self.programs / images.PROBE
        key = images.key_of(image_id, settings.python, settings.examples, program)
        contents = images.recall_probe(key)
        if contents is None:
            contents = self._run_probe(client)
            images.store_probe(key, contents)
            report(f"{settings.image}: {contents.words}")
        _PROBED[self._key] = contents
        return contents

    def _run_probe(self, client: Any) -> Held:
        """Run the probe in a container of the image, without a GPU, and return its contents."""
        settings = self.settings
        orphaned_containers.reap(client)
        spec = self._as_caller(
            client,
            settings.spec(
                (settings.python, str(_PROGRAMS / images.PROBE), settings.examples),
                (Bind(self.programs, _PROGRAMS),),
                Hardware((), self.host.cores),
                {"job": "probe", "owner": job_owner.owner()},
            ),
        )
        start_time = time.monotonic()
        output: list[str] = []

        def poll() -> None:
            if time.monotonic() - start_time > _PROBE_S:
                raise FaultError(
                    Fault.BAD_REQUEST,
                    f"{settings.image}: its Python told nothing within {_PROBE_S:.0f} s",
                )

        job_result = docker_engine.run(
            client, replace(spec, gpus="", network="none"), output.append, poll
        )
        contents = images.parse(output)
        if contents is None:
            output_tail = "\n".join(output[-20:])
            fault = from_log(output_tail)
            raise FaultError(
                Fault.BAD_REQUEST if fault is Fault.SCRIPT_FAILED else fault,
                f"{settings.image}: {settings.python} could not be asked what the image holds "
                f"(exit code {job_result.exit_code})\n{output_tail}",
            )
        return contents

    def _require_script(self, contents: Held, report: Callable[[str], None]) -> None:
        settings = self.settings
        if contents.examples == settings.examples:
            return
        if settings.examples != EXAMPLES:
            elsewhere = f"; there is one in {contents.examples}" if contents.examples else ""
            raise FaultError(
                Fault.NO_SCRIPT,
                f"{settings.image}: no speech_to_text_finetune.py with {STOCK_CONFIG} in "
                f"{settings.examples}{elsewhere}",
            )
        if contents.examples:
            report(f"{settings.image}: the stock script lies in {contents.examples}")
        else:
            report(
                f"{settings.image}: holds no stock script; training runs this project's own, "
                f"{OWN_SCRIPT.name}, which takes the same keys"
            )

    def path_mapper(self, work: Path, reads: Sequence[Path]) -> Callable[[Path], str]:
        """Return a function that maps host paths to paths in the container.

        Raises (from the function):
            InputError: a path that no mount holds.
        """
        return place_in([(bind.source, bind.target) for bind in _binds(work, reads)])

    def execute(
        self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
    ) -> JobResult:
        """Run the job in the run's shared container, or else in a container of its own.

        Raises:
            FaultError: the engine cannot run it.
            InputError: another live process is running the same job.
        """
        client = docker_engine.connect()
        orphaned_containers.reap(client)
        container_sharing.restore(client, job.work)
        orphaned_containers.clear(client, job)
        # NeMo unpacks gigabytes of weights; /tmp is in memory.
        scratch = job.work / _SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        heartbeat = job.work / orphaned_containers.HEARTBEAT
        job.write_request(
            {
                "heartbeat": str(_WORK / heartbeat.name),
                "abandoned_after_s": self.settings.abandoned_after_s,
                "trust": self.trust,
                **device_locks(self.hardware, str(_LOCKS), self.locks_wait_s),
            }
        )
        heartbeat.touch()
        self._hand_over(job.work)
        beat = orphaned_containers.OwnerHeartbeat(heartbeat)

        def tick() -> None:
            beat.touch()
            poll()

        shared = container_sharing.of_work(job.work, self)
        if shared is not None and job.program in program_server.PROGRAMS:
            try:
                return shared.run(
                    job,
                    _binds(job.work, job.reads)[1:],
                    {
                        "argv": self._arguments(job)[1:],
                        "cwd": "/tmp",  # noqa: S108 - the container's own
                        "more": self._more_environment(job),
                    },
                    on_line,
                    tick,
                )
            except NotSharedError as reason:
                shared.report(f"{job.name} has a container of its own: {reason}")
        with job.log.open("w", encoding="utf-8") as log:

            def line(text: str) -> None:
                log.write(text + "\n")
                log.flush()
                on_line(text)

            return docker_engine.run(client, self._spec(client, job), line, tick)

    def _hand_over(self, work: Path) -> None:
        """Let the container's user, if it is another one than ours, write to the work folder."""
        if self.settings.user == "caller":
            return
        user, _, group = self.settings.user.partition(":")
        for path in (work, *work.rglob("*")):
            os.chown(path, int(user), int(group), follow_symlinks=False)

    def share(self, folder: Path, reads: Sequence[Path], report: Callable[[str], None]) -> None:
        """Start one container for all programs of a run; it imports NeMo while the run continues.

        It lasts until ``container_sharing.close(folder)``, or as long as this process. Where there
        can be none, each program has a container of its own, and a line says why.

        Args:
            folder: the cycle's, in which the jobs' work folders lie.
            reads: what jobs may read beside it.
            report: gets lines for people.

        Raises:
            InputError: another live process runs jobs of this folder in such a container.
        """
        client = docker_engine.connect()
        orphaned_containers.reap(client)
        container_sharing.restore_all(client, folder)
        reason = container_sharing.reason_to_separate(
            self.settings.gpus, self.host, self.hardware, self.programs, trust=self.trust
        )
        if not reason:
            try:
                shared = container_sharing.start(
                    client, folder, reads, partial(self._shared_spec, client), self, report
                )
                self._hand_over(shared.exchange.out)
            except FaultError as refused:
                reason = (
                    f"the engine did not start a shared one ({refused.fault}: {refused.detail})"
                )
            except OSError as wrong:
                reason = f"the cycle's folder cannot hold what a shared one needs ({wrong})"
        if reason:
            report(f"each program has a container of its own: {reason}")

    def _shared_spec(
        self,
        client: Any,
        arguments: tuple[str, ...],
        binds: tuple[Bind, ...],
        labels: Mapping[str, str],
    ) -> ContainerSpec:
        device_locks(self.hardware)  # their folder is mounted
        command = (self.settings.python, str(_PROGRAMS / container_sharing.PROGRAM), *arguments)
        spec = self.settings.spec(command, self._with_programs(binds), self.host, labels)
        return self._as_caller(client, spec)

    def _spec(self, client: Any, job: Job) -> ContainerSpec:
        spec = self.settings.spec(
            self._arguments(job),
            self._with_programs(_binds(job.work, job.reads)),
            self.host,
            {**job.labels, "job": job.name, "owner": job_owner.owner()},
        )
        environment = {**spec.environment, **self._more_environment(job)}
        return replace(self._as_caller(client, spec), environment=environment)

    def _arguments(self, job: Job) -> tuple[str, ...]:
        place = self.path_mapper(job.work, job.reads)
        return (self.settings.python, str(_PROGRAMS / job.program), place(job.request_file))

    def _more_environment(self, job: Job) -> dict[str, str]:
        return {"TMPDIR": self.path_mapper(job.work, job.reads)(job.work / _SCRATCH)}

    def _with_programs(self, binds: tuple[Bind, ...]) -> tuple[Bind, ...]:
        locks = (Bind(LOCKS, _LOCKS, writable=True),) if self.hardware.has_gpu else ()
        return (*binds, Bind(self.programs, _PROGRAMS), *locks)

    def _as_caller(self, client: Any, spec: ContainerSpec) -> ContainerSpec:
        # In a rootless engine the caller is root inside, and nobody else is.
        rootless = self.settings.user == "caller" and docker_engine.is_rootless(client)
        return replace(spec, user="0:0") if rootless else spec


def _require_nemo(image: str, contents: Held) -> None:
    if contents.asr:
        return
    where = (
        f"the package nemo in {contents.package} has no collections/asr"
        if contents.package
        else ("no package nemo")
    )
    raise FaultError(
        Fault.NO_NEMO,
        f"{image}: {where} (Python {contents.python}, torch {contents.torch or 'none'})",
    )


def _binds(work: Path, reads: Sequence[Path]) -> tuple[Bind, ...]:
    """Return the binds: the work folder writable, every other input read-only under a new name.

    The host's names never appear inside, so that no character of theirs can matter there. A file
    is a model; in a hub's cache it may lie under a name without an ending.
    """
    return (
        Bind(work, _WORK, writable=True),
        *(
            Bind(path, _INPUTS / (f"{number}.nemo" if path.is_file() else str(number)))
            for number, path in enumerate(dict.fromkeys(reads))
        ),
    )
