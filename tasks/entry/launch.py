"""Starts an untouched fine-tuning script with a seed, and writes down what happens.

Usage: launch.py EVENTS_FILE SEED SCRIPT [HYDRA_ARGUMENT ...]

The stock script sets no seed and keeps no record that a program could read. This launcher seeds
everything, hangs one callback into Lightning's Trainer, and then runs the script as ``__main__``.
The events file gets one JSON object a line:

    {"event": "start", "epochs", "batches_per_epoch", "rows", "parameters"}
    {"event": "step", "epoch", "step", "loss", "lr", "gpu_memory_mib"}
    {"event": "epoch", "epoch", "step", "train_loss", "val_loss", "val_wer", "seconds"}
    {"event": "end", "epoch", "step", "stopped_early"}

It ends with an error at the first loss that is not finite: every further second would be wasted.
"""

from __future__ import annotations

import json
import math
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

_MIB = 1 << 20


class EventWriter(pl.Callback):
    """Writes the course of training to a file, line by line, on the first rank only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._losses: list[float] = []
        self._started = 0.0

    def _write(self, trainer: Any, event: str, **values: object) -> None:  # noqa: ANN401
        if trainer.is_global_zero:
            with self._path.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"event": event, **values}) + "\n")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """The data is loaded and the model is ready."""
        dataset: Any = getattr(trainer.train_dataloader, "dataset", None)
        self._write(
            trainer,
            "start",
            epochs=trainer.max_epochs,
            batches_per_epoch=int(trainer.num_training_batches),
            rows=len(dataset) if hasattr(dataset, "__len__") else None,
            parameters=sum(p.numel() for p in pl_module.parameters()),
        )

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401, ARG002
        """A new epoch has its own mean loss."""
        self._losses = []
        self._started = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: Any,  # noqa: ANN401
        pl_module: Any,  # noqa: ANN401, ARG002
        outputs: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401, ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """One batch is done."""
        # Lightning divides the loss that it reports by the batches it accumulates.
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        if not math.isfinite(loss):
            raise FloatingPointError(f"NaN loss: the training loss became {loss}")
        self._losses.append(loss)
        memory = torch.cuda.max_memory_allocated() // _MIB if torch.cuda.is_available() else 0
        self._write(
            trainer,
            "step",
            epoch=trainer.current_epoch,
            step=trainer.global_step,
            loss=loss,
            lr=trainer.optimizers[0].param_groups[0]["lr"],
            gpu_memory_mib=memory,
        )

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401, ARG002
        """A validation is done; with the stock settings that ends an epoch."""
        if trainer.sanity_checking:
            return
        metrics = trainer.callback_metrics
        self._write(
            trainer,
            "epoch",
            epoch=trainer.current_epoch,
            step=trainer.global_step,
            train_loss=sum(self._losses) / len(self._losses) if self._losses else None,
            val_loss=_number(metrics.get("val_loss")),
            val_wer=_number(metrics.get("val_wer")),
            seconds=round(time.monotonic() - self._started, 3),
        )

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401, ARG002
        """Training ended by itself; a killed run never writes this."""
        early = any(
            getattr(callback, "stopped_epoch", 0) > 0
            for callback in trainer.early_stopping_callbacks
        )
        self._write(
            trainer,
            "end",
            epoch=trainer.current_epoch,
            step=trainer.global_step,
            stopped_early=early,
        )


def _number(value: object) -> float | None:
    number = None if value is None else float(value)  # type: ignore[arg-type]  # a 0-d tensor
    return number if number is not None and math.isfinite(number) else None


def main() -> None:
    """Seed, hang in the callback, run the script."""
    events, seed, script, *arguments = sys.argv[1:]
    pl.seed_everything(int(seed), workers=True)
    create = pl.Trainer.__init__

    def create_with_events(trainer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        callbacks = kwargs.pop("callbacks", None) or []
        create(trainer, *args, callbacks=[*callbacks, EventWriter(Path(events))], **kwargs)

    # The script makes its own Trainer and offers no other place for a callback.
    pl.Trainer.__init__ = create_with_events  # type: ignore[method-assign,assignment]
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
