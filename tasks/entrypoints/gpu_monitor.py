"""GPU utilisation: nvidia-smi's figure, twice a second, while a job runs."""

from __future__ import annotations

import shutil
import subprocess
import threading

_EVERY_MS = 500


class Utilisation:
    """Reads the share of time in which a kernel ran, as nvidia-smi tells it, over all its GPUs."""

    def __init__(self, gpus: list[str]) -> None:
        """Start to read.

        Args:
            gpus: UUIDs of those that count; without any, or without nvidia-smi, nothing is read.
        """
        self._lock = threading.Lock()
        self._readings: list[float] = []
        program = shutil.which("nvidia-smi")
        if program is None or not gpus:
            return
        query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        process = subprocess.Popen(
            [
                program,
                *query,
                f"--id={','.join(f'GPU-{gpu}' for gpu in gpus)}",
                f"--loop-ms={_EVERY_MS}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            if line.strip().isdigit():  # "[N/A]" where the card does not tell
                with self._lock:
                    self._readings.append(float(line))

    def take(self) -> float | None:
        """Return the mean in percent since the last call; None if nothing was read."""
        with self._lock:
            readings, self._readings = self._readings, []
        return round(sum(readings) / len(readings), 1) if readings else None
