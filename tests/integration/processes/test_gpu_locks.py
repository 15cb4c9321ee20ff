"""Two jobs never share a GPU: the locks, between processes and across an exec."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tasks.runtimes import hardware
from tasks.runtimes.base import ENTRY
from tasks.runtimes.failures import Fault, from_log
from tasks.runtimes.hardware import Gpu

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from gpu_locks import lock_all
lock_all(Path(sys.argv[2]), sys.argv[4].split(","), float(sys.argv[3]))
print("held", flush=True)
if len(sys.argv) > 5:
    os.execv(sys.executable, [sys.executable, "-c", "print('anew', flush=True); input()"])
"""


def job(folder: Path, wait: float, names: str, *, stay: bool = False) -> subprocess.Popen[str]:
    """A process that locks these GPUs, and stays if it is told to."""
    more = ["stay"] if stay else []
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(ENTRY), str(folder), str(wait), names, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_job_is_told_that_the_gpu_is_busy(tmp_path: Path) -> None:
    """The lock outlives the exec of torchrun, and ends with a kill -9."""
    with job(tmp_path, 0, "GPU-b,GPU-a", stay=True) as first:
        assert first.stdout is not None
        assert [first.stdout.readline().strip() for _ in range(2)] == ["held", "anew"]
        with job(tmp_path, 0, "GPU-c,GPU-b") as second:
            _, complaint = second.communicate()
        assert second.returncode == 76
        assert from_log(complaint) is Fault.GPU_BUSY
        with job(tmp_path, 0, "GPU-c") as other:
            assert other.communicate()[0] == "held\n"
        first.kill()
        first.wait()
        with job(tmp_path, 0, "GPU-a,GPU-b") as later:
            assert later.communicate()[0] == "held\n"


def test_a_job_waits_for_the_gpu(tmp_path: Path) -> None:
    """It goes on when the other one is done."""
    with job(tmp_path, 0, "GPU-a", stay=True) as first:
        assert first.stdout is not None
        first.stdout.readline()
        with job(tmp_path, 60, "GPU-a") as second:
            assert second.stdout is not None
            assert second.stdout.readline().startswith("waiting for GPU GPU-a")
            first.kill()
            assert second.communicate()[0] == "held\n"


SMI = """#!/bin/sh
echo 'NVIDIA L40S, 46068, 580.1, GPU-aa'
echo 'NVIDIA A10G, 23028, 580.1, GPU-bb'
"""


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["NVIDIA L40S", "NVIDIA A10G"]),
        ("1", ["NVIDIA A10G"]),
        ("1,0", ["NVIDIA A10G", "NVIDIA L40S"]),
        ("GPU-b", ["NVIDIA A10G"]),
        ("0,7,1", ["NVIDIA L40S"]),
        ("", []),
        ("-1", []),
    ],
)
def test_only_visible_gpus_count(
    visible: str | None, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CUDA reads CUDA_VISIBLE_DEVICES: up to the first entry that it does not know."""
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = hardware.detect()
    assert [gpu.name for gpu in found.gpus] == names
    if found.gpus:
        assert found.gpus[0] in {
            Gpu("NVIDIA L40S", 46068, "580.1", "GPU-aa"),
            Gpu("NVIDIA A10G", 23028, "580.1", "GPU-bb"),
        }
