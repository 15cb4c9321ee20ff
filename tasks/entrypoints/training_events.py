"""The course of a training, written down line by line while it runs.

The events file gets one JSON object a line, each with the "time" in seconds since 1970:

    {"event": "start", "epoch", "step", "batches_per_epoch", "rows", "parameters", "devices",
     "cuda_graphs", "compiled_layers", "nemo", "torch"}
    {"event": "step", "epoch", "step", "batch", "loss", "lr", "seconds", "gpu_memory_mib"}
    {"event": "epoch", "epoch", "step", "train_loss", "val_loss", "val_wer", "seconds",
     "gpu_memory_mib", "gpu_reserved_mib": the allocator's, "gpu_utilisation"}
    {"event": "end", "epoch", "step", "stopped_early"}

Training ends with an error at the first loss that is not finite: every further second would be
wasted.
"""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

import job_phases  # type: ignore[import-not-found]  # lies beside this file
import lightning.pytorch as pl
import nemo
import nvrtc_guard  # type: ignore[import-not-found]  # likewise
import torch
from deferred_scalar import DeferredScalar  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from pathlib import Path

    from gpu_monitor import Utilisation  # type: ignore[import-not-found]  # likewise

_MIB = 1 << 20


class RowsLostError(Exception):
    """NeMo would train on fewer rows than were sent."""


class EventWriter(pl.Callback):
    """Writes the course of training to a file, line by line, on the first rank only."""

    def __init__(
        self,
        path: Path,
        rows: dict[str, int],
        utilisation: Utilisation,
        *,
        graphs: bool | None,
        compiler: Any = None,  # noqa: ANN401 - a CompileCallback
    ) -> None:
        self._path = path
        self._rows = rows
        self._utilisation = utilisation
        self._graphs = graphs
        self._compiler = compiler
        self._losses: list[float] = []
        self._started = 0.0
        self._busy: float | None = None
        self._untold: tuple[DeferredScalar, dict[str, Any]] | None = None
        self._batch_started = 0.0

    def _write(self, trainer: Any, event: str, **values: object) -> None:  # noqa: ANN401
        if trainer.is_global_zero:
            with self._path.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"event": event, "time": time.time(), **values}) + "\n")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """Check the loaded rows and write the start event: data and model are ready."""
        job_phases.enter("train")
        end_finished_epoch(trainer)
        rows = _rows(trainer.train_dataloader)
        held_out = _rows(pl_module.val_dataloader())  # the trainer gets its own only later
        for side, loaded in (("train", rows), ("validation", held_out)):
            if loaded is not None and loaded < self._rows[side]:
                raise RowsLostError(f"{side}: NeMo loaded {loaded} of {self._rows[side]} rows")
        self._write(
            trainer,
            "start",
            epoch=trainer.current_epoch,
            step=trainer.global_step,
            batches_per_epoch=int(trainer.num_training_batches),
            rows=rows,
            parameters=sum(p.numel() for p in pl_module.parameters()),
            devices=trainer.world_size,
            cuda_graphs=self._graphs,
            compiled_layers=self._compiler and self._compiler.outcome.as_dict(),
            nemo=nemo.__version__,
            torch=torch.__version__,
        )

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401, ARG002
        """Start a new epoch's mean loss."""
        self._write_step(trainer)
        self._losses = []
        self._utilisation.take()
        self._started = self._batch_started = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: Any,  # noqa: ANN401
        pl_module: Any,  # noqa: ANN401, ARG002
        outputs: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401, ARG002
        batch_idx: int,
    ) -> None:
        """Keep the batch's values for the next reading."""
        self._write_step(trainer)
        batches = int(trainer.num_training_batches)
        # Reading it now would wait for the GPU, which would get nothing to do meanwhile.
        self._untold = (
            DeferredScalar(outputs["loss"]),
            {
                "epoch": trainer.current_epoch,
                "step": trainer.global_step,
                "batch": trainer.current_epoch * batches + batch_idx + 1,
                "lr": trainer.optimizers[0].param_groups[0]["lr"],
            },
        )

    def _write_step(self, trainer: Any) -> None:  # noqa: ANN401
        """Write down the batch before this one; its time is from one reading to the next."""
        if self._untold is None:
            return
        (loss_scalar, values), self._untold = self._untold, None
        # Lightning divides the loss that it reports by the batches it accumulates.
        loss = loss_scalar.read() * trainer.accumulate_grad_batches
        if not math.isfinite(loss):
            raise FloatingPointError(f"NaN loss: the training loss became {loss}")
        self._losses.append(loss)
        now = time.monotonic()
        seconds, self._batch_started = now - self._batch_started, now
        self._write(
            trainer,
            "step",
            **values,
            loss=loss,
            seconds=round(seconds, 4),
            gpu_memory_mib=_gpu_memory_mib(),
        )

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401, ARG002
        """Read how busy the GPU was in the epoch's training; validation does not count."""
        self._write_step(trainer)
        job_phases.enter("validate")
        self._busy = self._utilisation.take()

    def on_validation_batch_start(
        self,
        trainer: Any,  # noqa: ANN401, ARG002
        pl_module: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401, ARG002
        batch_idx: int,
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Switch CUDA graphs off where the driver is too old; NeMo switches them on each time."""
        if self._graphs is False and batch_idx == 0:
            decoder = getattr(getattr(pl_module, "decoding", None), "decoding", None)
            if (off := getattr(decoder, "disable_cuda_graphs", None)) is not None:
                off()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401, ARG002
        """Write the epoch event: with the stock settings a validation ends an epoch."""
        nvrtc_guard.check()  # before anything is written that this process may have garbled
        job_phases.enter("train")
        if trainer.sanity_checking:
            return
        metrics = trainer.callback_metrics
        self._write(
            trainer,
            "epoch",
            epoch=trainer.current_epoch,
            step=trainer.global_step,
            train_loss=sum(self._losses) / len(self._losses) if self._losses else None,
            val_loss=_finite_or_none(metrics.get("val_loss")),
            val_wer=_finite_or_none(metrics.get("val_wer")),
            seconds=round(time.monotonic() - self._started, 3),
            gpu_memory_mib=_gpu_memory_mib(),
            gpu_reserved_mib=_gpu_reserved_mib(),
            gpu_utilisation=self._busy,
        )

    def on_save_checkpoint(
        self,
        trainer: Any,  # noqa: ANN401, ARG002
        pl_module: Any,  # noqa: ANN401, ARG002
        checkpoint: dict[str, Any],  # noqa: ARG002
    ) -> None:
        """Check the shared bytes before a checkpoint is written; training decodes batches, too."""
        nvrtc_guard.check()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401, ARG002
        """Write the end event of a training that ended by itself; a killed run has none."""
        nvrtc_guard.check()  # the script writes its last .nemo after this
        self._write_step(trainer)
        stopped_early = any(
            getattr(callback, "stopped_epoch", 0) > 0
            for callback in trainer.early_stopping_callbacks
        )
        self._write(
            trainer,
            "end",
            epoch=trainer.current_epoch,
            step=trainer.global_step,
            stopped_early=stopped_early,
        )
        job_phases.enter("save")


def end_finished_epoch(trainer: Any) -> None:  # noqa: ANN401
    """Let a resumed training go on with the next epoch where its checkpoint's has all its batches.

    Such an epoch has been validated, but Lightning does not know it. It would validate again; NeMo
    keeps it from that, and then it trains one batch more
    (findings/nemo-resume-trains-a-batch-more.sh).
    """
    loop = trainer.fit_loop.epoch_loop
    if loop.restarting and loop.batch_progress.current.completed >= trainer.num_training_batches:
        loop.val_loop._has_run = True  # noqa: SLF001 - what the loop asks, and nothing else


def _rows(loader: Any) -> int | None:  # noqa: ANN401
    """Return the rows behind a data loader, or the only one of a list; None if it cannot tell."""
    if isinstance(loader, list) and len(loader) == 1:
        (loader,) = loader
    dataset: Any = getattr(loader, "dataset", None)
    return len(dataset) if hasattr(dataset, "__len__") else None


def _gpu_memory_mib() -> int:
    """Return the peak so far of this rank's GPU."""
    return torch.cuda.max_memory_allocated() // _MIB if torch.cuda.is_available() else 0


def _gpu_reserved_mib() -> int:
    """Return the peak so far of what this rank's allocator holds, used or not."""
    return torch.cuda.max_memory_reserved() // _MIB if torch.cuda.is_available() else 0


def _finite_or_none(value: object) -> float | None:
    number = None if value is None else float(value)  # type: ignore[arg-type]  # a 0-d tensor
    return number if number is not None and math.isfinite(number) else None
