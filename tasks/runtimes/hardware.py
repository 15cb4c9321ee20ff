"""Detect this machine's GPUs and cores without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

_CPU_ENVIRONMENT = {
    # Of glibc's heap: memory that was freed is kept for the next tensor. Large tensors come from
    # the kernel otherwise, which clears each page of each anew; for two minutes of sound that took
    # as long as the computing (docs/log). Threads share one heap: theirs cannot hold large ones.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    # Of GNU's OpenMP: a thread that waits for others keeps its core busy for so many turns, and
    # then sleeps. By default it turns a hundred times as long, and where other programs run too,
    # the thread that it waits for is the one that has no core (benchmarks/waiting_threads.py).
    "GOMP_SPINCOUNT": "3000",
}
_WAIT_POLICY = "OMP_WAIT_POLICY"

_QUERY = ("name", "memory.total", "driver_version", "uuid")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU, in nvidia-smi's words.

    Attributes:
        name: such as "NVIDIA L40S".
        memory_mib: its whole memory.
        driver: version of the host's driver.
        uuid: tells this card from every other one.
    """

    name: str
    memory_mib: int = 0
    driver: str = ""
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Hardware:
    """The processors that a run may use.

    Attributes:
        gpus: in nvidia-smi's order; none means that training runs on the CPU.
        cores: processor cores that this process may use.
    """

    gpus: tuple[Gpu, ...]
    cores: int

    @property
    def has_gpu(self) -> bool:
        """Whether training runs on a GPU."""
        return bool(self.gpus)

    @property
    def smallest_gpu_mib(self) -> int:
        """Memory of the smallest GPU, which bounds the batch; 0 without one."""
        return min((gpu.memory_mib for gpu in self.gpus), default=0)


def cpu_environment(set_by_user: Container[str] = ()) -> dict[str, str]:
    """Return variables for a program that computes on a CPU, but for those that the user has set.

    Args:
        set_by_user: names of variables.
    """
    return {
        name: value
        for name, value in _CPU_ENVIRONMENT.items()
        if name not in set_by_user
        and not (name == "GOMP_SPINCOUNT" and _WAIT_POLICY in set_by_user)
    }


def detect() -> Hardware:
    """Ask nvidia-smi; where it is absent or fails there is no usable GPU.

    Of the GPUs that it lists, those count that CUDA_VISIBLE_DEVICES leaves visible.
    """
    program = shutil.which("nvidia-smi")
    gpus: tuple[Gpu, ...] = ()
    if program is not None:
        completed = subprocess.run(
            [program, f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if completed.returncode == 0:
            gpus = tuple(_gpu(line) for line in completed.stdout.splitlines() if line.strip())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return Hardware(
        gpus if visible is None else _visible(gpus, visible), len(os.sched_getaffinity(0))
    )


def _gpu(line: str) -> Gpu:
    name, memory, driver, uuid = (part.strip() for part in line.split(","))
    # Cards that share the host's memory answer "[N/A]".
    return Gpu(name, int(memory) if memory.isdigit() else 0, driver, uuid)


def _visible(gpus: tuple[Gpu, ...], visible: str) -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA would see, by index or UUID prefix, up to the first unknown one."""
    chosen: list[Gpu] = []
    for name in visible.split(","):
        selector = name.strip()
        if selector.isdigit():
            matching = gpus[int(selector) : int(selector) + 1]
        else:
            matching = tuple(gpu for gpu in gpus if selector and gpu.uuid.startswith(selector))
        if not matching:
            break
        chosen += matching
    return tuple(chosen)
