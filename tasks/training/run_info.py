"""training_run_info.json: the base, data, recipe, runtime and speed of a training."""

from __future__ import annotations

import platform
import statistics
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tasks.common import hashing
from tasks.training.progress import best_epoch
from tasks.training.recipes import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasks.runtimes.base import Runtime
    from tasks.training.progress import Epoch
    from tasks.training.run import SftRequest

LAST_CHECKPOINT = "the last one: too few rows could choose"
"""Which checkpoint is the model, where none was chosen."""
AVERAGE = "the average"
"""How the words begin where the model is the mean of several checkpoints."""


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """The outcome of a run, for its record.

    Attributes:
        seconds: from its last start to its end, without those in which it waited for a GPU.
    """

    epochs: tuple[Epoch, ...]
    events: list[dict[str, Any]]
    seconds: float
    image: str
    log: Path


def build_run_info(
    request: SftRequest,
    runtime: Runtime,
    outcome: TrainingOutcome,
    model_sha256: str,
    overrides: Sequence[str],
) -> dict[str, Any]:
    """Return the content of training_run_info.json.

    ``recipe.effective_batch`` is rows per optimiser step over all GPUs. ``gpu_utilisation`` is the
    mean in percent while training, as nvidia-smi tells it; it and the peak memory are null where
    there is no GPU to ask. ``wall_seconds`` has the training of earlier starts in it, and no
    waiting for a GPU.
    """
    data, recipe = request.data, request.recipe
    starts = [event for event in outcome.events if event["event"] == "start"]
    steps = [event for event in outcome.events if event["event"] == "step"]
    averaged = _averaged(outcome.events) if request.averaged > 1 else []
    return {
        "key": request.key,
        "model": "adapted_model.nemo",
        "model_sha256": model_sha256,
        "base": {
            "name": request.base_name,
            "path": str(request.base),
            "sha256": hashing.sha256(request.base),
            "parameters": starts[0]["parameters"],
        },
        "recipe": {
            **recipe.model_dump(mode="json"),
            "effective_batch": recipe.effective_batch * starts[-1]["devices"],
            "devices": starts[-1]["devices"],
            "warmup_steps": recipe.warmup_for(data.train_rows),
        },
        "ladder": [attempt.as_dict() for attempt in request.rungs],
        "runtime": {
            "image": outcome.image or None,
            "script": runtime.script.path,
            "own_script": runtime.script.own,
            "gpus": [gpu.name for gpu in runtime.hardware.gpus],
            "drivers": sorted({gpu.driver for gpu in runtime.hardware.gpus if gpu.driver}),
            "cores": runtime.hardware.cores,
            "precision": (
                recipe.precision if runtime.hardware.has_gpu else Precision.FP32
            ).lightning,
            "cuda_graphs": starts[-1].get("cuda_graphs"),
            "compiled_layers": starts[-1].get("compiled_layers"),
            "nemo": starts[-1]["nemo"],
            "torch": starts[-1]["torch"],
        },
        "overrides": list(overrides),
        "dataset": {
            "train_rows": data.train_rows,
            "replayed_rows": data.replayed,
            "distilled_rows": data.distilled,
            "selection_rows": len(data.split.selection),
            "validation_rows": len(data.split.validation),
            "rows_loaded": starts[-1]["rows"],
            "train_sha256": hashing.sha256_file(data.train),
            **(
                {}
                if data.selection is None
                else {"selection_sha256": hashing.sha256_file(data.selection)}
            ),
            **(
                {}
                if data.distillation is None
                else {"distillation_sha256": hashing.sha256_file(data.distillation)}
            ),
            "validation_sha256": hashing.sha256_file(data.validation),
            "content_sha256": data.content,
        },
        "starts": [{"epoch": start["epoch"], "step": start["step"]} for start in starts],
        "epochs": [asdict(epoch) for epoch in outcome.epochs],
        "checkpoint": _kept_checkpoint(request, averaged),
        **({"averaged": averaged} if averaged else {}),
        "best_epoch": None if (best := best_epoch(outcome.epochs)) is None else best.epoch,
        "steps": outcome.epochs[-1].step if outcome.epochs else 0,
        # A run that was resumed after its last batch has none of its own.
        "median_batch_seconds": statistics.median(s["seconds"] for s in steps) if steps else None,
        "gpu_utilisation": _mean_utilisation(outcome.epochs),
        "peak_gpu_memory_mib": max((step["gpu_memory_mib"] for step in steps), default=None),
        "wall_seconds": round(_seconds_of_earlier_starts(outcome.events) + outcome.seconds, 1),
        "versions": versions(),
    }


def _kept_checkpoint(request: SftRequest, averaged: Sequence[Mapping[str, Any]]) -> str:
    """Say in words which checkpoint is the model, and which rows chose it."""
    if request.keeps_last:
        return LAST_CHECKPOINT
    rows = "the rows that judge" if request.data.selection is None else "selection rows"
    if averaged:
        epochs = ", ".join(str(one["epoch"] + 1) for one in averaged)
        return f"{AVERAGE} of epochs {epochs}, the best by validation WER, chosen on {rows}"
    return f"the best by validation WER, chosen on {rows}"


def _averaged(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the checkpoints whose mean the model is, with their validation WER."""
    val_wer = {one["epoch"]: one["val_wer"] for one in events if one["event"] == "epoch"}
    last = [event for event in events if event["event"] == "averaged"][-1]
    return [{**one, "val_wer": val_wer.get(one["epoch"])} for one in last["checkpoints"]]


def _seconds_of_earlier_starts(events: Sequence[dict[str, Any]]) -> float:
    """Return how long the starts before the last one trained, each up to its last event."""
    seconds, began, ended = 0.0, 0.0, 0.0
    for event in events:
        if event["event"] == "start":
            seconds += ended - began
            began = event["time"]
        ended = event["time"]
    return seconds


def _mean_utilisation(epochs: Sequence[Epoch]) -> float | None:
    """Return the mean GPU utilisation over all epochs, weighted by their length."""
    utilised_epochs = [
        (epoch.gpu_utilisation, epoch.seconds)
        for epoch in epochs
        if epoch.gpu_utilisation is not None
    ]
    seconds = sum(length for _, length in utilised_epochs)
    return (
        round(sum(busy * length for busy, length in utilised_epochs) / seconds, 1)
        if seconds
        else None
    )


def versions() -> dict[str, str]:
    """Return the versions of the packages that a figure depends on, where installed."""
    versions_by_name = {"python": platform.python_version()}
    for name in ("clinical-asr-flywheel", "nemo_toolkit", "torch", "lightning", "prefect", "jiwer"):
        try:
            versions_by_name[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions_by_name
