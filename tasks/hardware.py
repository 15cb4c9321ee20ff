"""What this machine has to train on, without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hardware:
    """The processors that a local run may use.

    Attributes:
        gpus: names of the NVIDIA GPUs; none means that training runs on the CPU.
        cores: processor cores that this process may use.
    """

    gpus: tuple[str, ...]
    cores: int

    @property
    def has_gpu(self) -> bool:
        """Whether training runs on a GPU."""
        return bool(self.gpus)


def detect() -> Hardware:
    """Ask nvidia-smi; where it is absent or fails there is no usable GPU."""
    program = shutil.which("nvidia-smi")
    names: tuple[str, ...] = ()
    if program is not None:
        answer = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if answer.returncode == 0:
            names = tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())
    return Hardware(names, len(os.sched_getaffinity(0)))
