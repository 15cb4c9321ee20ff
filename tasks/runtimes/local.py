"""The local runtime: jobs run in a process of this machine."""

from __future__ import annotations

import codecs
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.common.installation import install_fix
from tasks.common.processes import end_with_parent, stop_group
from tasks.runtimes import program_server
from tasks.runtimes.base import (
    ENTRY,
    ENTRYPOINTS_VARIABLE,
    LOCKS_WAIT_S,
    OWN_CONFIG,
    OWN_SCRIPT,
    PYTHON_VARIABLE,
    STOCK_CONFIG,
    Job,
    JobResult,
    Script,
    device_locks,
    entrypoints,
    nemo_python,
    packages_of,
    place_in,
    programs_identity,
)
from tasks.runtimes.hardware import cpu_environment
from tasks.runtimes.program_server import ServerGoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.runtimes.hardware import Hardware
    from tasks.runtimes.program_server import ServedProgram

# What no layer between here and NeMo's data loader takes for anything but part of a name.
_PLAIN = re.compile(r"[A-Za-z0-9_./@+=: -]+")
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class LocalRuntime:
    """A process on this machine, in this Python environment or in the one that a variable names.

    Attributes:
        hardware: what this machine has.
        stock_script: the user's copy of the stock script, or None for our own.
        python: the interpreter that has NeMo.
        trust: whether a .nemo may run code of its own.
        locks_wait_s: how long a job waits for a GPU that another one holds.
        programs: the folder of the entry programs.
    """

    hardware: Hardware
    stock_script: Path | None = None
    python: str = field(default_factory=lambda: nemo_python())  # noqa: PLW0108 - stands below
    trust: bool = False
    locks_wait_s: float = LOCKS_WAIT_S
    programs: Path = field(default_factory=entrypoints)

    @property
    def script(self) -> Script:
        """Our own script, or the user's copy with the YAML beside it."""
        if self.stock_script is None:
            own = self.programs / OWN_SCRIPT.name
            return Script(str(own), str(self.programs / OWN_CONFIG), own=True)
        path = self.stock_script.expanduser().resolve()
        return Script(str(path), str(path.parent / STOCK_CONFIG))

    @property
    def identity(self) -> str:
        """The content of the script and its YAML, another environment's NeMo, others' programs."""
        parts = [hashing.sha256_file(Path(p)) for p in (self.script.path, self.script.config)]
        if self.python != sys.executable:
            parts.append(f"nemo {packages_of(self.python)['nemo_toolkit']}")
        return " ".join([*parts, *programs_identity(self.programs)])

    def check(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Refuse an environment or a script that cannot run.

        Raises:
            InputError: there is no NeMo, or the script or its YAML is missing.
        """
        if self.python != sys.executable:
            packages_of(self.python)
        elif importlib.util.find_spec("nemo") is None or importlib.util.find_spec("torch") is None:
            raise InputError(
                "NeMo is not installed in this environment. "
                f"Fix: {install_fix('nemo', pinned=True)}, or set {PYTHON_VARIABLE} to the Python "
                "of an environment that has it, or use --runtime container."
            )
        for needed in (self.script.path, self.script.config):
            if not Path(needed).is_file():
                raise InputError(
                    f"{needed}: no such file. Fix: give the path of speech_to_text_finetune.py "
                    "inside a checkout of NVIDIA NeMo, whose conf folder lies beside it."
                )
        if self.programs != ENTRY:
            report(f"{ENTRYPOINTS_VARIABLE}: the programs of {self.programs} train and transcribe")

    def path_mapper(self, work: Path, reads: Sequence[Path]) -> Callable[[Path], str]:
        """Return a function that maps each file to itself, under a plain name.

        NeMo splits a manifest's path at commas and resolves ``${…}`` in it more than once, so that
        no quoting helps: a folder with such a name is reached through a link of ours.
        """
        return place_in([(path, _plain_path(path)) for path in (work, *reads)])

    def execute(
        self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
    ) -> JobResult:
        """Run the job in a process group of its own."""
        job.write_request(
            {**device_locks(self.hardware, wait_s=self.locks_wait_s), "trust": self.trust}
        )
        # Libraries print what they like, and a character may be half written when it is read.
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        with job.log.open("wb") as out, job.log.open("rb") as reader:
            process = self._start(job, out.fileno(), poll)
            try:
                running = True
                partial_line = ""
                while running:
                    running = process.poll() is None
                    *lines, partial_line = (partial_line + decode(reader.read())).split("\n")
                    for output_line in lines:
                        on_line(output_line)
                    poll()
                    if running:
                        time.sleep(_POLL_S)
                return JobResult(process.wait())
            finally:
                stop_group(process)

    def import_early(self) -> None:
        """Begin to import NeMo for the first job, beside what this process does before it."""
        if self._is_served(program_server.PROGRAMS[0]):
            program_server.prepare(self.python, self._environment())

    def _is_served(self, program: str) -> bool:
        """Whether a program is a fork of the program server; several GPUs have ranks instead."""
        return len(self.hardware.gpus) <= 1 and program_server.serves(program, self.programs)

    def _environment(self) -> dict[str, str]:
        """Return the environment of a job's program."""
        environment = {
            **os.environ,
            # nvidia-smi's order, by which GPUs are chosen and recorded; CUDA's own is by speed.
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
        }
        return environment if self.hardware.has_gpu else environment | cpu_environment(os.environ)

    def _start(
        self, job: Job, log: int, poll: Callable[[], None]
    ) -> subprocess.Popen[bytes] | ServedProgram:
        """Start the program: a fork of a process that has imported NeMo, where that is safe."""
        environment = self._environment()
        arguments = [str(self.programs / job.program), str(job.request_file)]
        # Hydra resolves the name of its working directory, which must be a plain one.
        cwd = tempfile.gettempdir()
        if self._is_served(job.program):
            # A server that cannot import NeMo is no answer; the program itself tells why.
            with suppress(ServerGoneError):
                program = program_server.start(self.python, environment, arguments, cwd, log)
                try:
                    while not program.has_begun(_POLL_S):
                        poll()
                except BaseException:
                    program.abandon()
                    raise
                return program
        return subprocess.Popen(
            [*end_with_parent(), self.python, *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )


def _plain_path(path: Path) -> Path:
    """Return the path, or a link to it where NeMo would interpret a character of its name.

    The link's name depends on the path alone, so that a second start finds its checkpoints.
    """
    if _PLAIN.fullmatch(str(path)):
        return path
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    ending = path.suffix if path.is_file() else ""
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
    link = cache / "asr-flywheel" / "links" / f"{name}{ending}"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        with suppress(FileExistsError):  # another process has just made the same link
            link.symlink_to(path)
    return link
