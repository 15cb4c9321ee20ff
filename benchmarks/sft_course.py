"""Batches, epochs and GPU load of one side of an SFT benchmark."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tasks.runtimes.hardware import Gpu


class Sampler:
    """Samples of nvidia-smi for each visible GPU, with the time: utilisation (%), memory (MiB)."""

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self._seen: list[tuple[float, str, float, float]] = []
        program = shutil.which("nvidia-smi")
        self._process: subprocess.Popen[str] | None = None
        if program is None or not gpus:
            return
        query = ["--query-gpu=uuid,utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
        ids = ",".join(gpu.uuid for gpu in gpus)
        self._process = subprocess.Popen(
            [program, *query, f"--id={ids}", "--loop-ms=250"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process is not None  # noqa: S101 - only started with one
        for line in self._process.stdout or ():
            gpu, *values = (part.strip() for part in line.split(","))
            if len(values) == 2 and all(value.isdigit() for value in values):  # noqa: PLR2004 - as asked
                busy, memory = map(float, values)
                self._seen.append((time.time(), gpu, busy, memory))

    def between(
        self, start: float, end: float, only: str | None
    ) -> tuple[float | None, float | None]:
        """Return mean utilisation and peak memory, of one GPU if one is named."""
        samples = [
            sample
            for sample in self._seen
            if start <= sample[0] <= end and only in {None, sample[1]}
        ]
        if not samples:
            return None, None
        return round(statistics.mean(sample[2] for sample in samples), 1), max(
            sample[3] for sample in samples
        )

    def stop(self) -> None:
        """End nvidia-smi."""
        if self._process is not None:
            self._process.terminate()


@dataclass
class Side:
    """One side's course, in seconds since 1970.

    Attributes:
        per_epoch: batches of an epoch.
        steps: (epoch, batch within the run, time of its end) of every tenth batch.
        validated: the end of each epoch's validation.
        wall_s: of the whole process.
        ended: how it ended.
        only: the GPU that it had, if not all of them.
        arguments: what the stock script got.
        began: when its process was started.
        losses: (epoch, loss) of each batch whose loss is written down.
        allocated_mib: the peak by PyTorch's allocator, where it tells that.
        reserved_mib: the peak of what the allocator holds, used or not, where it tells that.
        compiled_layers: what became of the order to compile, where there was one.
        ready: when model and data were, where it tells that.
        seconds: of each batch, where it tells them.
    """

    per_epoch: int
    steps: list[tuple[int, int, float]] = field(default_factory=list)
    validated: list[float] = field(default_factory=list)
    wall_s: float = 0.0
    ended: str = ""
    only: str | None = None
    arguments: list[str] = field(default_factory=list)
    began: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    allocated_mib: int = 0
    reserved_mib: int = 0
    compiled_layers: dict[str, Any] | None = None
    ready: float | None = None
    seconds: list[float] = field(default_factory=list)

    @property
    def batch_s(self) -> float | None:
        """Median seconds a batch; the run's first batches, which warm up, are left out."""
        seconds = [
            (after[2] - before[2]) / (after[1] - before[1])
            for before, after in zip(self.steps, self.steps[1:], strict=False)
            if after[0] == before[0] and before[1] >= self.per_epoch // 5
        ]
        return statistics.median(seconds) if seconds else None

    @property
    def _last_epoch(self) -> list[tuple[int, int, float]]:
        """The recorded steps of the last epoch that was validated."""
        return [step for step in self.steps if step[0] == len(self.validated) - 1]

    @property
    def epoch_s(self) -> float | None:
        """Seconds of the last whole epoch, its validation with it, checkpoints left out.

        The batches before its first one that was written down count with the median.
        """
        of_it = self._last_epoch
        if not of_it or self.batch_s is None:
            return None
        unwritten = of_it[0][1] - (len(self.validated) - 1) * self.per_epoch
        return self.validated[-1] - of_it[0][2] + unwritten * self.batch_s

    @property
    def mean_batch_s(self) -> float | None:
        """Mean seconds a batch of the last whole epoch, from the first to the last written down."""
        if len(self._last_epoch) < 2:  # noqa: PLR2004 - two ends make one stretch
            return None
        (_, first, started), *_, (_, last, ended) = self._last_epoch
        return (ended - started) / (last - first)

    @property
    def period_s(self) -> float | None:
        """Seconds from the end of one validation to the end of the next: checkpoints counted."""
        if len(self.validated) < 2:  # noqa: PLR2004 - two ends make one period
            return None
        return self.validated[-1] - self.validated[-2]

    def figures(self, sampler: Sampler) -> dict[str, Any]:
        """Return the reported figures; GPU utilisation while the last epoch's batches ran."""
        batches = self._last_epoch or self.steps
        window = (batches[0][2], batches[-1][2]) if batches else (0.0, 0.0)
        busy, memory = sampler.between(*window, self.only)
        start = self.steps[0][2] if self.steps else 0.0
        return {
            "arguments": self.arguments,
            "ended": self.ended,
            "batches": self.steps[-1][1] if self.steps else 0,
            "median_batch_s": _round_or_none(self.batch_s),
            "mean_batch_s": _round_or_none(self.mean_batch_s),
            "epoch_s": _round_or_none(self.epoch_s),
            "epoch_with_checkpoints_s": _round_or_none(self.period_s),
            "gpu_utilisation": busy,
            "peak_gpu_memory_mib": memory,
            "wall_s": round(self.wall_s, 1),
            "batches_at_s": [[batch, round(at - start, 3)] for _, batch, at in self.steps],
            "validated_at_s": [round(at - start, 3) for at in self.validated],
            "epochs_end_s": [round(at - self.began, 1) for at in self.validated],
            "allocated_mib": self.allocated_mib,
            "reserved_mib": self.reserved_mib,
            "compiled_layers": self.compiled_layers,
            "ready_s": None if self.ready is None else round(self.ready - self.began, 1),
            "seconds": self.seconds,
            "losses": [round(loss, 4) for _, loss in self.losses],
            "epoch_losses": self.epoch_losses,
        }

    @property
    def epoch_losses(self) -> list[float]:
        """The mean loss of each epoch: two sides that train alike have about the same."""
        by_epoch: dict[int, list[float]] = {}
        for epoch, loss in self.losses:
            by_epoch.setdefault(epoch, []).append(loss)
        return [round(statistics.mean(losses), 3) for losses in by_epoch.values()]


def _round_or_none(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def logged(folder: Path) -> Iterator[tuple[str, int, int, float, float]]:
    """Yield (scalar, epoch, batches so far, time, value) of each logged loss and validation."""
    from tensorboard.backend.event_processing.event_accumulator import (  # noqa: PLC0415 - slow
        EventAccumulator,
    )

    scalars: list[tuple[str, int, float, float]] = []
    for path in folder.rglob("events.out.tfevents.*"):
        accumulator = EventAccumulator(str(path), size_guidance={"scalars": 0})
        accumulator.Reload()
        for name in ("train_loss", "val_wer"):
            if name in accumulator.Tags()["scalars"]:
                scalars += [
                    (name, event.step, event.wall_time, event.value)
                    for event in accumulator.Scalars(name)
                ]
    epoch = 0
    for name, step, at, value in sorted(scalars, key=lambda scalar: scalar[2]):
        # Lightning numbers steps from 0, and its validation by the last step before it.
        yield name, epoch, step + 1, at, value
        epoch += name == "val_wer"
