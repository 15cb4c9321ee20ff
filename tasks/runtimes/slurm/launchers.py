"""How a program starts on the node: in the job itself, or in an image by what the site has.

Each is one command line. Charliecloud was run; the lines of apptainer and pyxis are made after
their manuals (apptainer.org, `apptainer exec`; github.com/NVIDIA/pyxis/wiki/Usage) and were not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.runtimes.container_settings import Bind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.runtimes.slurm.settings import Launcher, SlurmSettings

PLACE = PurePosixPath("/mnt")
"""Every image has this folder, and one that is read-only gets no other."""
WORK = PLACE / "out"
PROGRAMS = PLACE / "programs"
_INPUTS = PLACE / "in"
# What separates paths and their parts in a launcher's list of binds.
_SEPARATORS = re.compile(r"[,:\n]")
_NOT_SLURM = (
    "for name in $(env | sed -n 's/^\\(SLURM_[A-Z_0-9]*\\)=.*/\\1/p'); do unset $name; done"
)


@dataclass(frozen=True, slots=True)
class Promise:
    """What a launcher keeps of what the container runtime promises.

    Attributes:
        no_network: a program cannot reach anything.
        read_only_inputs: a program cannot change what it reads.
        was_run: whether this project has run it, or only written its command line.
    """

    no_network: bool
    read_only_inputs: bool
    was_run: bool

    @property
    def words(self) -> str:
        """What a run says of it."""
        network = "no network" if self.no_network else "the node's network can be reached"
        inputs = "inputs are read-only" if self.read_only_inputs else "inputs can be written to"
        return f"{network}; {inputs}"


PROMISES: Mapping[Launcher, Promise] = {
    "none": Promise(no_network=False, read_only_inputs=False, was_run=True),
    "charliecloud": Promise(no_network=False, read_only_inputs=False, was_run=True),
    "apptainer": Promise(no_network=True, read_only_inputs=True, was_run=False),
    "pyxis": Promise(no_network=False, read_only_inputs=True, was_run=False),
}
PROGRAM_OF: Mapping[Launcher, str] = {
    "none": "", "charliecloud": "ch-run", "apptainer": "apptainer", "pyxis": "srun",
}  # fmt: skip


def binds_of(work: Path, reads: Sequence[Path], programs: Path) -> tuple[Bind, ...]:
    """Return the binds of a job: the work folder writable, all else read-only if that can be.

    Raises:
        InputError: a path has a character that separates paths in a launcher's list.
    """
    for path in (work, *reads, programs):
        if (found := _SEPARATORS.search(str(path))) is not None:
            raise InputError(
                f"{path}: a launcher's list of folders is cut at {found.group()!r}. Fix: rename "
                "the folder, or take launcher none."
            )
    inputs = (
        Bind(path, _INPUTS / (f"{number}.nemo" if path.is_file() else str(number)))
        for number, path in enumerate(dict.fromkeys(reads))
    )
    return Bind(work, WORK, writable=True), Bind(programs, PROGRAMS), *inputs


def make_mount_points(folder: Path, binds: Sequence[Bind]) -> None:
    """Make a tree of empty folders and files onto which binds go: a read-only image has none."""
    for bind in binds:
        point = folder / bind.target.relative_to(PLACE)
        if bind.source.is_file():
            point.parent.mkdir(parents=True, exist_ok=True)
            point.touch()
        else:
            point.mkdir(parents=True, exist_ok=True)


def line(
    settings: SlurmSettings,
    command: Sequence[str],
    binds: Sequence[Bind],
    points: Path,
    environment: Mapping[str, str],
) -> list[str]:
    """Return the command line that starts a program in the settings' image.

    Args:
        settings: launcher, image and GPUs.
        command: the program and its arguments, by their paths in the image.
        binds: from ``binds_of``.
        points: the folder of mount points.
        environment: what the program gets; nothing secret, since it stands in this line.
    """
    ends = (settings.image, *command)
    if settings.launcher == "charliecloud":
        places = [f"{points}:{PLACE}", *(f"{bind.source}:{bind.target}" for bind in binds)]
        variables = (f"--set-env={name}={value}" for name, value in environment.items())
        return ["ch-run", "--private-tmp", "--unset-env=SLURM*", "--env-no-expand", *variables,
                *(f"--bind={place}" for place in places), f"--cd={WORK}", ends[0], "--", *ends[1:]
        ]  # fmt: skip
    if settings.launcher == "apptainer":
        return [
            "apptainer", "exec", "--containall", "--cleanenv", "--no-home", "--net",
            "--network=none", *(["--nv"] if settings.gpus else []),
            *(f"--env={name}={value}" for name, value in environment.items()),
            *(f"--bind={bind.source}:{bind.target}:{_mode(bind)}" for bind in binds),
            f"--pwd={WORK}", *ends,
        ]  # fmt: skip
    mounts = ",".join(f"{bind.source}:{bind.target}:{_mode(bind)}" for bind in binds)
    # What srun sets again would make Lightning take the job's tasks for ranks of its own.
    pairs = " ".join(f"{name}={value}" for name, value in environment.items())
    return [
        "srun", "--ntasks=1", f"--container-image={ends[0]}", f"--container-mounts={mounts}",
        "--no-container-mount-home", "--no-container-entrypoint", f"--container-workdir={WORK}",
        "/bin/sh", "-c", f'{_NOT_SLURM}; exec env {pairs} "$@"', "sh", *command,
    ]  # fmt: skip


def _mode(bind: Bind) -> str:
    return "rw" if bind.writable else "ro"
