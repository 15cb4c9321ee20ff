"""A container as data: what a user settles about it, and what the engine is asked for.

Forms and the command line read these fields; that must not cost the import of a Docker client.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.parameter_model import ParameterModel
from tasks.common.parameter_names import name_of
from tasks.runtimes.hardware import Gpu, cpu_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path, PurePosixPath

    from tasks.runtimes.hardware import Hardware

IMAGE = "nvcr.io/nvidia/nemo:25.11.01"
EXAMPLES = "/opt/NeMo/examples/asr"


@dataclass(frozen=True, slots=True)
class Bind:
    """A host path at a path inside the container."""

    source: Path
    target: PurePosixPath
    writable: bool = False


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """Everything about one container.

    Attributes:
        image: name with tag or digest.
        command: program and arguments; no shell.
        binds: what it sees of the host; a missing source is an error, never made up.
        labels: under ``org.clinical-asr-flywheel``: how an orphan is found again.
        environment: variables; no secrets, since anybody with the engine can read them.
        user: "uid:gid", so that its outputs belong to the caller.
        gpus: "all", "count=N", device ids joined by commas, or "" for none.
        shm_bytes: size of /dev/shm, which data-loader workers share batches through.
        memory_bytes: limit, or None.
        tmp_bytes: size of /tmp, the only place besides the binds that can be written.
        network: "none" unless the run must download.
        unlimited_memlock: for RDMA between GPUs; some engines refuse it.
    """

    image: str
    command: tuple[str, ...]
    binds: tuple[Bind, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    gpus: str = ""
    shm_bytes: int = 1 << 30
    memory_bytes: int | None = None
    tmp_bytes: int = 4 << 30
    network: str = "none"
    unlimited_memlock: bool = False


class ContainerSettings(ParameterModel):
    """What a user settles once about the container; a block saves it under a name."""

    image: str = Field(
        IMAGE,
        pattern=r"^\S*[^\s:/]+(:[\w.-]+|@sha256:[0-9a-f]{64})?$",
        title="Image",
        description="Name with tag or digest; pulled if it is not here, recorded by its digest.",
    )
    gpus: str = Field(
        "auto",
        pattern=r"^(auto|none|all|count=[1-9][0-9]*|[0-9]+(,[0-9]+)*)$",
        title="GPUs",
        description="auto (all that the host has), none, all, count=2, or ids such as 0,1.",
    )
    shm_gib: int = Field(
        8,
        ge=1,
        title="Shared memory (GiB)",
        description="Size of /dev/shm, through which data-loader workers hand over batches.",
    )
    memory_gib: int | None = Field(
        None, ge=1, title="Memory limit (GiB)", description="Of the container; none: the host's."
    )
    tmp_gib: int = Field(
        4, ge=1, title="Size of /tmp (GiB)", description="In memory; all else is read-only."
    )
    unlimited_memlock: bool = Field(
        False,
        title="Unlimited memlock",
        description="Lift the limit on locked memory (RDMA between GPUs); some engines refuse it.",
    )
    user: str = Field(
        "caller",
        pattern=r"^(caller|[0-9]+:[0-9]+)$",
        title="User",
        description="Whom outputs belong to: caller (the worker's user), or uid:gid.",
    )
    network: Literal["none", "bridge"] = Field(
        "none",
        title="Network",
        description="none: a base is always a file by then, so that a run has nothing to download.",
    )
    python: str = Field("python", title="Interpreter", description="Python in the image.")
    examples: str = Field(
        EXAMPLES,
        pattern=r"^/",
        title="Stock examples",
        description="The folder of speech_to_text_finetune.py in the image.",
    )
    abandoned_after_s: float = Field(
        120.0,
        ge=10,
        title="Abandoned after (s)",
        description="The container ends itself when no worker has waited for it this long.",
    )

    def chosen(self, host: Hardware) -> tuple[Gpu, ...]:
        """Return the chosen GPUs, as far as the host lists them.

        Raises:
            InputError: the host has GPUs, but not so many, or none of that number.
        """
        if self.gpus == "none" or (self.gpus == "auto" and not host.gpus):
            return ()
        if self.gpus in {"auto", "all"} and host.gpus:
            return host.gpus
        if not host.gpus:
            # GPUs that nvidia-smi does not show here are still some; the engine will tell.
            return (Gpu(f"GPUs {self.gpus}"),)
        count = self.gpus.removeprefix("count=")
        ids = (
            range(int(count)) if count != self.gpus else [int(index) for index in count.split(",")]
        )
        if max(ids) >= len(host.gpus):
            raise InputError(
                f"{name_of('container.gpus')} {self.gpus!r}: this user sees "
                f"{counted(len(host.gpus), 'GPU')} here, numbered from 0. Fix: ask for some of "
                "those, or for auto."
            )
        return tuple(host.gpus[number] for number in ids)

    def devices(self, host: Hardware) -> str:
        """Return the engine's device request: all, count=N, ids, or "" for none.

        Where the host tells their names it is by name: CUDA_VISIBLE_DEVICES may hide some.
        """
        names = [gpu.uuid for gpu in self.chosen(host)]
        if all(names):
            return ",".join(names)
        return "all" if self.gpus == "auto" else self.gpus

    def user_id(self) -> str:
        """Return the "uid:gid" of the container's user."""
        return f"{os.getuid()}:{os.getgid()}" if self.user == "caller" else self.user

    def spec(
        self,
        command: tuple[str, ...],
        binds: tuple[Bind, ...],
        host: Hardware,
        labels: Mapping[str, str],
    ) -> ContainerSpec:
        """Return the specification of one container with these settings."""
        devices = self.devices(host)
        return ContainerSpec(
            image=self.image,
            command=command,
            binds=binds,
            labels=labels,
            environment={
                "PYTHONUNBUFFERED": "1",
                "TOKENIZERS_PARALLELISM": "false",
                "HF_HUB_OFFLINE": "1",
                # Nothing may be written beside the mounted programs.
                "PYTHONDONTWRITEBYTECODE": "1",
                # Libraries ask for the user's name, and the image knows none with this number.
                "USER": "asr-flywheel",
                "LOGNAME": "asr-flywheel",
                **({} if devices else cpu_environment()),
            },
            user=self.user_id(),
            gpus=devices,
            shm_bytes=self.shm_gib << 30,
            memory_bytes=None if self.memory_gib is None else self.memory_gib << 30,
            tmp_bytes=self.tmp_gib << 30,
            network=self.network,
            unlimited_memlock=self.unlimited_memlock,
        )
