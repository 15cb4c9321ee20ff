"""Checks of the GPU, its driver and what it computes in."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from tasks.stages.check_result import CheckResult, CheckStatus

if TYPE_CHECKING:
    from tasks.stages.check_result import CheckContext

LEAST_GPU_MIB = 15_000
"""A "16 GB" card; the specification asks for 16 GB of VRAM at least (4a)."""
GRAPHS_DRIVER = (560, 28)
"""Linux driver of CUDA 12.6: before it, CUDA-graph decoding falls back quietly."""
LEAST_BF16 = (8, 0)
"""Compute capability from which bf16 is supported (Ampere)."""


def gpu(context: CheckContext) -> CheckResult:
    """Check for a GPU that is large enough; not every base can be tuned on a CPU."""
    host = context.host
    if host.has_gpu:
        names = ", ".join(f"{card.name} ({card.memory_mib} MiB)" for card in host.gpus)
        if host.smallest_gpu_mib and host.smallest_gpu_mib < LEAST_GPU_MIB:
            fix = "take a card of 16 GB or more (24 GB is comfortable), or a smaller base"
            return CheckResult("GPU", CheckStatus.NOTE, f"{names}: small for a base of 0.6 B", fix)
        return CheckResult("GPU", CheckStatus.OK, names)
    if shutil.which("nvidia-smi") is not None:
        fix = "nvidia-smi must list it: reinstall or load the driver (`sudo modprobe nvidia`)"
        return CheckResult(
            "GPU", CheckStatus.MISSING, "nvidia-smi is here but lists no usable GPU", fix
        )
    return CheckResult("GPU", CheckStatus.NOTE, f"none: training runs on {host.cores} CPU cores")


def driver(context: CheckContext) -> CheckResult:
    """Check the driver against CUDA 12.6, for CUDA-graph decoding."""
    versions = sorted({card.driver for card in context.host.gpus if card.driver})
    if not versions:
        return CheckResult("driver", CheckStatus.OK, "not needed without a GPU")
    installed = tuple(int(part) for part in re.findall(r"\d+", versions[0])[:2])
    if installed >= GRAPHS_DRIVER:
        return CheckResult("driver", CheckStatus.OK, ", ".join(versions))
    says = f"{versions[0]}: older than CUDA 12.6's, so that CUDA-graph decoding falls back quietly"
    required = ".".join(map(str, GRAPHS_DRIVER))
    return CheckResult(
        "driver", CheckStatus.NOTE, says, f"install NVIDIA's driver {required} or newer"
    )


def bf16(context: CheckContext) -> CheckResult:
    """Check that the GPU supports the recipe's bf16-mixed."""
    if not context.host.has_gpu:
        return CheckResult(
            "bf16", CheckStatus.OK, "not needed without a GPU: the CPU trains in fp32"
        )
    program = shutil.which("nvidia-smi")
    line = [str(program), "--query-gpu=compute_cap", "--format=csv,noheader"]
    answer = subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)
    capabilities = re.findall(r"(\d+)\.(\d+)", answer.stdout if answer.returncode == 0 else "")
    least = min(((int(major), int(minor)) for major, minor in capabilities), default=None)
    if least is None:
        return CheckResult(
            "bf16", CheckStatus.NOTE, "nvidia-smi does not tell the compute capability"
        )
    capability = f"compute capability {least[0]}.{least[1]}"
    if least >= LEAST_BF16:
        return CheckResult("bf16", CheckStatus.OK, capability)
    fix = "nothing: the run goes on in fp32 with a smaller batch by itself; expect half the speed"
    return CheckResult(
        "bf16", CheckStatus.NOTE, f"{capability}: no bf16 (Turing and Volta have none)", fix
    )
