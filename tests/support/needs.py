"""What tests need beyond what the README names: declared here, and nowhere else.

A test asks for one by its name, with ``@pytest.mark.needs("rsync")`` or, in a fixture, with
``require("rsync")``, and is skipped where it is absent. A program of the table is on the PATH only
of tests that ask for it: where it is installed, none can use it unnoticed.

CI installs the packages, and names in FLYWHEEL_REQUIRED what must be there: absence is a failure.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

# Where administrators' programs are, which an ordinary user's PATH leaves out.
_SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/sbin")
BUSYBOX = Path("/bin/busybox")
STANDIN = "asr-flywheel/nemo-standin"
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system that Linux has beside the disk's


@dataclass(frozen=True)
class Need:
    """Something that a bare machine lacks, or that depends on who runs the tests.

    Attributes:
        how: what to do to have it.
        programs: its programs, all of which must be found; hidden from tests that do not ask.
        check: what else must hold.
        packages: the Debian packages that bring it, which CI installs.
    """

    how: str
    programs: tuple[str, ...] = ()
    check: Callable[[], bool] = field(default=lambda: True)
    packages: tuple[str, ...] = ()

    @property
    def present(self) -> bool:
        """Whether it is there."""
        return all(find(name) is not None for name in self.programs) and self.check()


def postgres_programs() -> Path | None:
    """The folder of Debian's newest Postgres."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _mounts() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        line = [str(find("mount")), "-t", "tmpfs", "-o", "size=1m", "none", folder]
        if subprocess.run(line, capture_output=True, check=False).returncode:
            return False
        subprocess.run([str(find("umount")), folder], check=True)
    return True


def _network_namespace() -> bool:
    return _succeeds("unshare", "-n", str(find("ip")), "link", "set", "lo", "up")


def _user_namespaces() -> bool:
    """Whether the kernel lets Charliecloud's ch-run make its namespaces."""
    return _succeeds("unshare", "--user", "--map-root-user", "--mount", "true")


def _mount_namespaces() -> bool:
    return os.geteuid() == 0 and _succeeds("unshare", "--mount", "true")


def _succeeds(program: str, *arguments: str) -> bool:
    line = [str(find(program)), *arguments]
    return subprocess.run(line, capture_output=True, check=False).returncode == 0


def _shared_memory() -> bool:
    disk = Path(tempfile.gettempdir()).stat().st_dev
    return os.access(MEMORY, os.W_OK) and MEMORY.stat().st_dev != disk


def _engine(image: str | None = None) -> bool:
    import docker  # noqa: PLC0415 - takes a while
    from docker.errors import DockerException  # noqa: PLC0415 - likewise

    try:
        client = docker.from_env()
        client.ping()
        return image is None or bool(client.images.get(image))
    except DockerException:
        return False


def _wordnet() -> bool:
    from base_training import text  # noqa: PLC0415 - takes a while

    return (text.WORDNET / "data.noun").is_file()


def _gpu() -> bool:
    import torch  # noqa: PLC0415 - takes a while

    return bool(torch.cuda.is_available())


def _debian(*packages: str, programs: tuple[str, ...]) -> Need:
    return Need(f"apt-get install {' '.join(packages)}", programs, packages=packages)


NEEDS: dict[str, Need] = {
    # Programs.
    "chromium": _debian("chromium", programs=("chromium",)),
    "compose": _debian("docker-compose", programs=("docker-compose",)),
    "ffmpeg": _debian("ffmpeg", programs=("ffmpeg",)),
    "curl": _debian("curl", programs=("curl",)),
    "jq": _debian("jq", programs=("jq",)),
    "ps": _debian("procps", programs=("ps",)),
    "mksquashfs": _debian("squashfs-tools", programs=("mksquashfs",)),
    "g++": _debian("g++", programs=("g++",)),
    "rsync": _debian("rsync", programs=("rsync",)),
    "ssh": _debian("openssh-client", programs=("ssh", "ssh-keygen")),
    "sshd": _debian("openssh-server", programs=("sshd",)),
    "postgresql": Need(
        "apt-get install postgresql",
        check=lambda: postgres_programs() is not None,
        packages=("postgresql",),
    ),
    # A compiler of CUDA kernels, which needs no GPU.
    "nvrtc": Need(
        "pip install --no-deps --target FOLDER cuda-bindings==13.3.1 cuda-pathfinder==1.9.1 "
        "nvidia-cuda-nvrtc==13.3.33, and name it in FLYWHEEL_NVRTC",
        check=lambda: bool(os.environ.get("FLYWHEEL_NVRTC")),
    ),
    # A cluster. Its daemons run as root, and a node that does not see a folder is in a namespace.
    "slurm": Need(
        "apt-get install slurm-wlm munge, as a root who may make mount namespaces",
        (
            "munged",
            "slurmctld",
            "slurmd",
            "sbatch",
            "scancel",
            "scontrol",
            "sinfo",
            "squeue",
            "srun",
        ),
        _mount_namespaces,
        ("slurm-wlm", "munge"),
    ),
    "charliecloud": Need(
        "apt-get install charliecloud, on a kernel that lets users make namespaces "
        "(`unshare --user --map-root-user --mount true`)",
        ("ch-run",),
        _user_namespaces,
        ("charliecloud",),
    ),
    # What serves without Riva.
    "edge": Need(
        "pip install '.[edge]'",
        check=lambda: all(map(importlib.util.find_spec, ("onnx_asr", "sherpa_onnx"))),
    ),
    # Its packages do not fit beside ours: a server is another machine's in any case.
    "mlflow-server": Need(
        "python3 -m venv FOLDER && FOLDER/bin/pip install mlflow==3.17.2, and name "
        "FOLDER/bin/mlflow in FLYWHEEL_MLFLOW",
        check=lambda: bool(os.environ.get("FLYWHEEL_MLFLOW")),
    ),
    # The NeMo of the default image.
    "nemo26": Need(
        "name in FLYWHEEL_NEMO26_PYTHON an interpreter that has nemo_toolkit[asr] 2.6.x",
        check=lambda: bool(os.environ.get("FLYWHEEL_NEMO26_PYTHON")),
    ),
    # Data.
    "wordnet": Need(
        "apt-get install wordnet-base",
        check=_wordnet,
        packages=("wordnet-base",),
    ),
    # An engine, and what is in it.
    "engine": Need("`make engine`", check=_engine),
    "dockerd": Need("`make engine`", ("docker", "dockerd")),
    "busybox": Need("`make engine`", check=BUSYBOX.is_file),
    "standin-image": Need("`make standin-image`", check=lambda: _engine(STANDIN)),
    # The machine, and who runs the tests.
    "gpu": Need("a GPU that CUDA can use", check=_gpu),
    "no-gpu": Need("a machine without a GPU", check=lambda: find("nvidia-smi") is None),
    "root": Need("run the tests as root", check=lambda: os.geteuid() == 0),
    "ordinary-user": Need("run the tests as an ordinary user", check=lambda: os.geteuid() != 0),
    "mount": Need("run the tests as a root who may mount a tmpfs", ("mount", "umount"), _mounts),
    "netns": Need(
        "apt-get install iproute2, and run the tests as a root whose kernel lets it have a network "
        "of its own",
        ("unshare", "ip"),
        _network_namespace,
        ("iproute2",),
    ),
    "shm": Need("a /dev/shm that is not the disk's", check=_shared_memory),
    "proc": Need("Linux's /proc", check=Path("/proc/self/stat").exists),
}
HIDDEN = {name for need in NEEDS.values() for name in need.programs}
# As it was before any of it was hidden.
_PATH = os.environ.get("PATH", os.defpath)


def find(program: str) -> str | None:
    """The path of a program of this machine, whether a test has asked for it or not."""
    return shutil.which(program, path=os.pathsep.join([_PATH, *_SYSTEM]))


class HidingPath:
    """One folder in the place of the whole PATH; programs are in it while they are asked for."""

    def __init__(self, path: str, hidden: Container[str]) -> None:
        self._path, self._hidden = path, hidden
        self._folder: Path | None = None
        self._places: dict[str, Path] = {}
        self._shown: Counter[str] = Counter()
        self._asked: list[list[str]] = []

    @contextmanager
    def used(self) -> Iterator[None]:
        """Be the PATH of this process and of those that it starts."""
        with tempfile.TemporaryDirectory(prefix="asr-flywheel-path-") as name:
            for folder in map(Path, reversed(self._path.split(os.pathsep))):
                found = folder.iterdir() if folder.is_dir() else ()
                self._places.update({one.name: one.absolute() for one in found})
            self._folder = Path(name)
            self._folder.chmod(0o755)  # tests start programs as other users too
            for program, place in self._places.items():
                if program not in self._hidden:
                    (self._folder / program).symlink_to(place)
            os.environ["PATH"] = name
            try:
                yield
            finally:
                os.environ["PATH"], self._folder = self._path, None

    @contextmanager
    def asking(self) -> Iterator[list[str]]:
        """Gather the programs that are shown in the block, for ``hide``."""
        self._asked.append([])
        try:
            yield self._asked[-1]
        finally:
            self._asked.pop()

    def show(self, programs: Iterable[str]) -> None:
        """Have programs on the PATH; outside of pytest all of them are."""
        if self._folder is None:
            return
        for program in programs:
            self._asked[-1].append(program)
            self._shown[program] += 1
            if self._shown[program] == 1 and program in self._places:
                (self._folder / program).symlink_to(self._places[program])

    def hide(self, programs: Iterable[str]) -> None:
        """Take them off again, unless somebody else has asked for them too."""
        for program in programs:
            self._shown[program] -= 1
            if self._shown[program] == 0 and self._folder is not None:
                (self._folder / program).unlink(missing_ok=True)


PATH = HidingPath(_PATH, HIDDEN)


@cache
def _present(name: str) -> bool:
    return NEEDS[name].present


def require(*names: str) -> None:
    """Skip the test where one of these is absent; fail it instead where that was promised.

    Args:
        names: keys of ``NEEDS``, as FLYWHEEL_REQUIRED has them.
    """
    for name in names:
        how = NEEDS[name].how
        if not _present(name):
            if name in os.environ.get("FLYWHEEL_REQUIRED", "").split():
                pytest.fail(f"{name} is required here but absent: {how}")
            pytest.skip(f"needs {name}: {how}")
        PATH.show(NEEDS[name].programs)
