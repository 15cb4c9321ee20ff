"""The container runtime: NVIDIA's image in a Docker Engine (specification, 4d).

Inputs are mounted read-only, one folder is writable, there is no network, and outputs belong to
the caller. A container that an earlier, killed run left behind is found by its labels and removed;
one whose owner still lives is left alone, and the new run is refused.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks import engine
from tasks.engine import Bind, ContainerSpec
from tasks.errors import InputError
from tasks.runtime import ENTRY, STOCK_CONFIG, Ended, Job, Script, place_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.hardware import Hardware

IMAGE = "nvcr.io/nvidia/nemo:25.11.01"
EXAMPLES = "/opt/NeMo/examples/asr"
_WORK = PurePosixPath("/workspace/out")
_INPUTS = PurePosixPath("/workspace/in")
_PROGRAMS = PurePosixPath("/opt/asr-flywheel")
_HEARTBEAT_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class ContainerRuntime:
    """Runs jobs in containers of one image.

    Attributes:
        image: name with tag or digest; its digest is recorded.
        hardware: what the container may use: GPUs only if ``gpus`` asks for them.
        gpus: "all", "count=N", device ids joined by commas, or "" for the CPU.
        python: the interpreter in the image.
        examples: the folder of the stock script in the image.
        shm_bytes: size of /dev/shm.
        memory_bytes: limit of the container's memory, or None.
        unlimited_memlock: lift the limit on locked memory.
        environment: more variables; no secrets.
        abandoned_after_s: a container ends itself when nobody has waited for it this long.
    """

    image: str
    hardware: Hardware
    gpus: str = ""
    python: str = "python"
    examples: str = EXAMPLES
    shm_bytes: int = 8 << 30
    memory_bytes: int | None = None
    unlimited_memlock: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    abandoned_after_s: float = 120.0

    @property
    def script(self) -> Script:
        """The stock script in the image."""
        return Script(
            f"{self.examples}/speech_to_text_finetune.py", f"{self.examples}/{STOCK_CONFIG}"
        )

    @property
    def identity(self) -> str:
        """The image, whose script it is."""
        return self.image

    def check(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Make sure that an engine answers and has the image; it is pulled if it must be.

        Raises:
            FaultError: none does, its socket may not be used, or the image cannot be had.
        """
        engine.ensure_image(engine.connect(), self.image, report)

    def inside(self, work: Path, reads: Sequence[Path]) -> Callable[[Path], str]:
        """Host paths to paths in the container.

        Raises (from the function):
            InputError: a path that no mount holds.
        """
        return place_in([(bind.source, bind.target) for bind in _binds(work, reads)])

    def execute(self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]) -> Ended:
        """Run the job in a container of its own.

        Raises:
            FaultError: the engine cannot run it.
            InputError: another live process is running the same job.
        """
        client = engine.connect()
        _clear_orphans(client, job)
        heartbeat = job.work / "heartbeat"
        job.write_request(
            {"heartbeat": str(_WORK / heartbeat.name), "abandoned_after_s": self.abandoned_after_s}
        )
        heartbeat.touch()
        beat = _Heartbeat(heartbeat)

        with job.log.open("w", encoding="utf-8") as log:

            def line(text: str) -> None:
                log.write(text + "\n")
                log.flush()
                on_line(text)

            def tick() -> None:
                beat.touch()
                poll()

            return engine.run(client, self._spec(job), line, tick)

    def _spec(self, job: Job) -> ContainerSpec:
        place = self.inside(job.work, job.reads)
        return ContainerSpec(
            image=self.image,
            command=(self.python, str(_PROGRAMS / job.program), place(job.request_file)),
            binds=(*_binds(job.work, job.reads), Bind(ENTRY, _PROGRAMS)),
            labels={**job.labels, "job": job.name, "owner": _owner()},
            environment={
                "PYTHONUNBUFFERED": "1",
                "TOKENIZERS_PARALLELISM": "false",
                "HF_HUB_OFFLINE": "1",
                # Nothing may be written beside the mounted programs.
                "PYTHONDONTWRITEBYTECODE": "1",
                **self.environment,
            },
            user=f"{os.getuid()}:{os.getgid()}",
            gpus=self.gpus,
            shm_bytes=self.shm_bytes,
            memory_bytes=self.memory_bytes,
            unlimited_memlock=self.unlimited_memlock,
        )


def _binds(work: Path, reads: Sequence[Path]) -> tuple[Bind, ...]:
    """The work folder writable; every other input read-only under a name of our own.

    The host's names never appear inside, so that no character of theirs can matter there.
    """
    distinct = dict.fromkeys(reads)
    return (
        Bind(work, _WORK, writable=True),
        *(
            Bind(path, _INPUTS / f"{number}{path.suffix if path.is_file() else ''}")
            for number, path in enumerate(distinct)
        ),
    )


class _Heartbeat:
    """Touches a file, but not more often than needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0.0

    def touch(self) -> None:
        """Tell the job that somebody waits for it."""
        if time.monotonic() - self._last > _HEARTBEAT_EVERY_S:
            self._last = time.monotonic()
            self._path.touch()


def _owner() -> str:
    """This process, so that another one can tell whether it still lives."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_time(os.getpid())}"


def _start_time(pid: int) -> str:
    """The kernel's start time of a process: a number that a later process of the same id lacks."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _lives(owner: str) -> bool:
    host, _, process = owner.partition(":")
    pid, _, started = process.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    return bool(started) and _start_time(int(pid)) == started


def _clear_orphans(client: Any, job: Job) -> None:
    for container in engine.orphans(client, {**job.labels, "job": job.name}):
        owner = container.labels.get(f"{engine.LABEL}.owner", "")
        if _lives(owner) and owner != _owner():
            raise InputError(
                f"container {container.name} already runs this job for process {owner}. "
                "Fix: wait for it, or stop that process."
            )
        engine.remove(container)
