"""Processor, memory and GPUs of this host, under the names by which MLflow's UI shows them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_MIB = 1 << 20
_QUERY = "index,utilization.gpu,memory.used,memory.total,power.draw"
_GPU_NAMES = (
    "utilization_percentage",
    "memory_usage_megabytes",
    "memory_total_megabytes",
    "power_usage_watts",
)


class SystemMetrics:
    """Readings of this host; the processor's share is since the reading before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = shutil.which("nvidia-smi")
        self._ticks = _processor_ticks()

    def read(self) -> dict[str, float]:
        """Return the figures; what cannot be read is left out."""
        figures: dict[str, float] = {}
        busy, whole = _processor_ticks()
        if whole > self._ticks[1]:
            share = (busy - self._ticks[0]) / (whole - self._ticks[1])
            figures["cpu_utilization_percentage"] = round(100 * share, 2)
        self._ticks = busy, whole
        memory = _memory_mib()
        if memory is not None:
            used, total = memory
            figures["system_memory_usage_megabytes"] = round(used, 1)
            figures["system_memory_usage_percentage"] = round(100 * used / total, 2)
        disk = shutil.disk_usage(self._folder)
        figures["disk_usage_megabytes"] = round(disk.used / _MIB, 1)
        figures["disk_usage_percentage"] = round(100 * disk.used / disk.total, 2)
        figures.update(self._gpus())
        return {f"system/{name}": value for name, value in figures.items()}

    def _gpus(self) -> dict[str, float]:
        if self._program is None:
            return {}
        try:
            done = subprocess.run(
                [self._program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return {}
        return gpu_figures(done.stdout) if done.returncode == 0 else {}


def gpu_figures(answer: str) -> dict[str, float]:
    """Return the figures of nvidia-smi's answer; what a card does not tell is left out."""
    figures: dict[str, float] = {}
    for line in answer.splitlines():
        index, *values = (part.strip() for part in line.split(","))
        for name, value in zip(_GPU_NAMES, values, strict=False):
            if value.replace(".", "", 1).isdigit():
                figures[f"gpu_{index}_{name}"] = float(value)
    return figures


def _processor_ticks() -> tuple[int, int]:
    """Return the ticks in which any core worked, and all ticks, since the host was started."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return (0, 0)
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    ticks = [int(part) for part in first.split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _memory_mib() -> tuple[float, float] | None:
    try:
        page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    free = next((int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
    if free is None:
        return None
    whole = page * total / _MIB
    return whole - free / 1024, whole
