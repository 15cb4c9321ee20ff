"""The interface of runtimes, local process or container, and the jobs that they run.

A job is a program of tasks/entrypoints with a JSON request. A runtime says by which paths the job's
files are known where it runs, runs it to its end, and leaves nothing running behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Protocol

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.runtimes.hardware import Hardware

ENTRY = Path(__file__).parents[1] / "entrypoints"
OWN_SCRIPT = ENTRY / "finetune_script.py"
OWN_CONFIG = "conf/sft.yaml"
STOCK_CONFIG = "conf/asr_finetune/speech_to_text_finetune.yaml"
PYTHON_VARIABLE = "ASR_FLYWHEEL_NEMO_PYTHON"
"""Names the interpreter of another environment that has NeMo, where this one has none or a
version that shall not be used; NeMo 2.x and this project want different versions of jiwer."""
ENTRYPOINTS_VARIABLE = "ASR_FLYWHEEL_ENTRYPOINTS"
"""Names a folder whose entry programs run in the place of this project's own."""
ENTRY_PROGRAMS = (
    "launch_training.py",
    "transcribe.py",
    "interpolate.py",
    "image_probe.py",
    OWN_SCRIPT.name,
    OWN_CONFIG,
)
LOCKS = Path("/var/tmp/asr-flywheel-gpus")  # noqa: S108 - one place for all users of the host
# A GPU that somebody uses without a slot of the server's is waited for, as a slot is: a training
# takes hours. A container that lost its owner ends itself after two minutes.
LOCKS_WAIT_S = 24 * 3600.0
_ASK_S = 60.0


@dataclass(frozen=True, slots=True)
class JobResult:
    """The result of a job.

    Attributes:
        exit_code: the program's; negative for a signal.
        oom_killed: whether the kernel killed it for its memory, where that is known.
        image: the image's digest, or "" for a process here.
    """

    exit_code: int
    oom_killed: bool = False
    image: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """The fine-tuning script and its YAML, as paths where training runs.

    Attributes:
        path: of the script.
        config: of the YAML.
        own: whether it is this project's, not NVIDIA's.
    """

    path: str
    config: str
    own: bool = False

    @property
    def arguments(self) -> list[str]:
        """The arguments that give Hydra the YAML's folder and name."""
        folder, _, name = self.config.rpartition("/")
        return [f"--config-path={folder}", f"--config-name={name.removesuffix('.yaml')}"]


@dataclass(frozen=True, slots=True)
class Job:
    """A program of tasks/entrypoints to run.

    Attributes:
        name: of the stage, for labels and messages.
        program: file name within tasks/entrypoints.
        request: what it reads as JSON; all paths in it come from ``Runtime.inside``.
        work: the one folder that it may write to.
        reads: files and folders that it reads.
        labels: how a container of this job is found again.
    """

    name: str
    program: str
    request: Mapping[str, Any]
    work: Path
    reads: tuple[Path, ...]
    labels: Mapping[str, str]

    @property
    def request_file(self) -> Path:
        """The path of the request that the program reads."""
        return self.work / f"{self.name}.request.json"

    @property
    def log(self) -> Path:
        """The path of the program's whole output."""
        return self.work / f"{self.name}.log"

    @property
    def phases_file(self) -> Path:
        """The path of what the program writes of its phases, beside its request."""
        return self.work / f"{self.name}.phases.jsonl"

    def write_request(self, more: Mapping[str, Any] | None = None) -> None:
        """Make the work folder and write the request, with what a runtime adds, into it."""
        self.work.mkdir(parents=True, exist_ok=True)
        atomic_files.write_text(self.request_file, json.dumps({**self.request, **(more or {})}))


class Runtime(Protocol):
    """A place where jobs run."""

    @property
    def hardware(self) -> Hardware:
        """The hardware that training may use in this runtime."""

    @property
    def script(self) -> Script:
        """The fine-tuning script of this runtime."""

    @property
    def identity(self) -> str:
        """The identity of the training program: runtimes that share it train the same model."""

    def check(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Refuse an unusable runtime before anything is spent; ``report`` gets progress lines."""

    def path_mapper(self, work: Path, reads: Sequence[Path]) -> Callable[[Path], str]:
        """Return a function that maps a path of the host to the job's path of that file."""

    def execute(
        self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
    ) -> JobResult:
        """Run a job to its end; what ``poll`` or ``on_line`` raises ends it."""


def entrypoints() -> Path:
    """Return the folder of the entry programs: the variable's, else this project's own.

    Raises:
        InputError: the variable names a folder that lacks one of ``ENTRY_PROGRAMS``.
    """
    named = os.environ.get(ENTRYPOINTS_VARIABLE, "")
    if not named:
        return ENTRY
    folder = Path(named).expanduser().absolute()
    if missing := [name for name in ENTRY_PROGRAMS if not (folder / name).is_file()]:
        raise InputError(
            f"{ENTRYPOINTS_VARIABLE}: {folder}: lacks {', '.join(missing)}. Fix: name a folder "
            f"that holds {', '.join(ENTRY_PROGRAMS)}, such as a copy of {ENTRY}, or unset it."
        )
    return folder


def programs_identity(folder: Path) -> list[str]:
    """Return what another folder's programs add to a runtime's identity; nothing of our own."""
    if folder == ENTRY:
        return []
    files = sorted(p for p in folder.rglob("*") if p.suffix in {".py", ".yaml"})
    content = [[str(path.relative_to(folder)), hashing.sha256_file(path)] for path in files]
    return [f"entrypoints {hashing.fingerprint(content)}"]


def nemo_python() -> str:
    """Return the interpreter that runs NeMo: the environment variable's, else this process's."""
    named = os.environ.get(PYTHON_VARIABLE, "")
    # Never resolved: a virtual environment's interpreter is a link, and is known by its own path.
    return str(Path(named).expanduser().absolute()) if named else sys.executable


_ASK_NEMO = """
from importlib import metadata
for name in ("torch", "nemo_toolkit"):
    try:
        print(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        raise SystemExit(f"it has no {name}")
"""


@cache
def packages_of(python: str) -> Mapping[str, str]:
    """Return the versions of torch and nemo_toolkit in another environment.

    Raises:
        InputError: the variable names no interpreter, or one without NeMo or PyTorch.
    """
    wrong = ""
    try:
        completed = subprocess.run(
            [python, "-c", _ASK_NEMO],
            cwd=tempfile.gettempdir(),
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        wrong = f"it does not start ({error})"
    else:
        if completed.returncode == 0:
            return dict(line.split(maxsplit=1) for line in completed.stdout.splitlines())
        wrong = (completed.stderr.strip().splitlines() or [f"exit code {completed.returncode}"])[-1]
    raise InputError(
        f"{PYTHON_VARIABLE}: {python}: {wrong}. Fix: name the bin/python of an environment that "
        "has torch and nemo_toolkit[asr], or unset it."
    )


def device_locks(
    hardware: Hardware, folder: str | None = None, wait_s: float = LOCKS_WAIT_S
) -> dict[str, Any]:
    """Return the request's fields for locks that keep two jobs off one GPU; {} on a CPU.

    Args:
        hardware: what the job may use.
        folder: the path of ``LOCKS`` where the job runs, if it is another one.
        wait_s: how long the job waits for a GPU that another one holds.
    """
    if not hardware.has_gpu:
        return {}
    LOCKS.mkdir(exist_ok=True)
    with suppress(PermissionError):  # another user made it, for everybody
        LOCKS.chmod(0o1777)
    return {"locks": folder or str(LOCKS), "locks_wait_s": wait_s}


def place_in(places: Sequence[tuple[Path, PurePath]]) -> Callable[[Path], str]:
    """Return a function that maps a path to the place where the job sees its folder.

    Args:
        places: folders or files here, and their paths there; the innermost that holds a path
            counts.

    Raises (from the function):
        InputError: none of them holds the path.
    """

    def place(path: Path) -> str:
        matching_roots = [
            (local_root, job_root)
            for local_root, job_root in places
            if path.is_relative_to(local_root)
        ]
        if not matching_roots:
            roots = ", ".join(str(local_root) for local_root, _ in places)
            raise InputError(
                f"{path}: not under any folder that training may read ({roots}). "
                f"Fix: allow its folder with {name_of('audio_roots')}."
            )
        local_root, job_root = max(matching_roots, key=lambda match: len(match[0].parts))
        return str(job_root / path.relative_to(local_root))

    return place
