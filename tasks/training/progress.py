"""The progress of a training run: its events, its epochs, and whether it completed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, privacy_settings
from tasks.runtimes.failures import Fault, FaultError, fault_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tasks.runtimes.base import JobResult
    from tasks.training.recipes import Recipe

_LOG_TAIL_LINES = 15
_UNK_LINES = 8
_UNK_LINES_AT_VALIDATION = 2


@dataclass(frozen=True, slots=True)
class Epoch:
    """The record of one epoch.

    ``seconds`` from its first batch to the end of its validation; ``gpu_utilisation`` in percent
    while it trained. None where there is no figure, 0 MiB without a GPU.
    """

    epoch: int
    step: int
    train_loss: float | None
    val_loss: float | None
    val_wer: float | None
    seconds: float
    gpu_memory_mib: int = 0
    gpu_utilisation: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The progress of training at one moment.

    Attributes:
        epoch: the current one, from 0.
        epochs: how many were asked for.
        batch: batches done, over all epochs.
        batches: batches of all epochs.
        validated: epochs whose validation is done.
        loss: of the newest batch.
        val_wer: of the newest validation.
        gpu_memory_mib: the peak so far.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    validated: int
    loss: float | None
    val_wer: float | None
    gpu_memory_mib: int

    @property
    def share(self) -> float:
        """The finished share of the run, from 0 to 1."""
        return min(1.0, self.batch / self.batches) if self.batches else 0.0


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One start of a run and the fault that ended it."""

    recipe: Recipe
    fault: Fault

    def as_dict(self) -> dict[str, object]:
        """Return the attempt as training_run_info.json holds it."""
        return {
            "batch_size": self.recipe.batch_size,
            "accumulate_grad_batches": self.recipe.accumulate_grad_batches,
            "effective_batch": self.recipe.effective_batch,
            "precision": self.recipe.precision,
            "fault": self.fault.value,
        }


@dataclass(frozen=True, slots=True)
class Events:
    """The events file that the launcher writes; see tasks/entrypoints/training_events.py."""

    path: Path

    def read(self) -> Iterator[dict[str, Any]]:
        """Return the events so far, without a line that is still being written."""
        if not self.path.is_file():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def is_said(line: str) -> bool:
    """Return whether a line of NeMo's log holds a reference or a hypothesis."""
    return "reference:" in line or "predicted:" in line


def hide_texts(log: Path) -> None:
    """Take references and hypotheses out of a training's log, where a site hides texts."""
    if not privacy_settings.hides_texts() or not log.is_file():
        return
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    atomic_files.write_text(log, "\n".join(line for line in lines if not is_said(line)))


class UnkCollapseDetector:
    """A detector of validation that collapsed to all-UNK, the mark of a broken base.

    NeMo logs one prediction a validation batch, and one of a training batch now and then. A base
    that has only just begun to learn writes letters; one that collapsed writes nothing but unknown
    symbols, batch after batch. Where there are few batches, two at the end of a validation tell.
    """

    def __init__(self) -> None:
        self._in_a_row = 0
        self._validated = 0

    def observe(self, line: str) -> None:
        """Check a line of the script's log for an all-UNK prediction."""
        _, separator, predicted = line.partition("predicted:")
        words = predicted.replace("⁇", " <unk> ").split()
        if not separator or not words:
            return
        self._in_a_row = self._in_a_row + 1 if set(words) == {"<unk>"} else 0
        if self._in_a_row >= _UNK_LINES:
            raise FaultError(Fault.UNK_COLLAPSE, line)

    def validated(self, epochs: int) -> None:
        """Record the number of validated epochs; fail if validation collapsed to all-UNK."""
        if epochs > self._validated and self._in_a_row >= _UNK_LINES_AT_VALIDATION:
            raise FaultError(Fault.UNK_COLLAPSE, f"after epoch {epochs}")
        self._validated = epochs


class ProgressReader:
    """A reader of a growing events file, which reads each event once."""

    def __init__(self, path: Path, epochs: int) -> None:
        self._path = path
        self._read = 0
        self._now = TrainingProgress(0, epochs, 0, 0, 0, None, None, 0)

    def read(self) -> TrainingProgress:
        """Read the new events and return the progress of training."""
        if self._path.is_file():
            with self._path.open("rb") as stream:
                stream.seek(self._read)
                new = stream.read()
            complete_lines = new[: new.rfind(b"\n") + 1]  # the rest is still being written
            self._read += len(complete_lines)
            for line in complete_lines.splitlines():
                self._apply(json.loads(line))
        return self._now

    def _apply(self, event: dict[str, Any]) -> None:
        progress = self._now
        if event["event"] == "start":
            progress = replace(progress, batches=event["batches_per_epoch"] * progress.epochs)
        elif event["event"] == "step":
            memory = max(progress.gpu_memory_mib, event["gpu_memory_mib"])
            progress = replace(
                progress,
                batch=event["batch"],
                epoch=event["epoch"],
                loss=event["loss"],
                gpu_memory_mib=memory,
            )
        elif event["event"] == "epoch":
            progress = replace(progress, validated=event["epoch"] + 1, val_wer=event["val_wer"])
        self._now = progress


def best_epoch(epochs: Sequence[Epoch]) -> Epoch | None:
    """Return the epoch of the lowest validation WER, whose weights are kept."""
    validated = [epoch for epoch in epochs if epoch.val_wer is not None]
    return min(validated, key=lambda epoch: epoch.val_wer or 0.0, default=None)


def overfit(epochs: Sequence[Epoch]) -> str | None:
    """Return a finding if validation WER rose while the training loss fell at the end, else None.

    One of the specification's stopping rules (contracts, Routing).
    """
    losses = [
        (epoch.val_wer, epoch.train_loss)
        for epoch in epochs
        if epoch.val_wer is not None and epoch.train_loss is not None
    ]
    best = min(losses, default=None)
    if best is None or losses[-1][0] <= best[0] or losses[-1][1] >= best[1]:
        return None
    return (
        f"Validation WER rose from {best[0]:.3f} to {losses[-1][0]:.3f} while the training loss "
        f"fell from {best[1]:.3f} to {losses[-1][1]:.3f}."
    )


def check_outcome(
    job_result: JobResult, events: list[dict[str, Any]], expected_epochs: int, log: Path
) -> tuple[Epoch, ...]:
    """Return the epochs of a run that reached its end.

    Exit code 0 is not success: a stopped script ends with 0 as well. The last epoch that was asked
    for, or early stopping, must have been reached.

    Raises:
        FaultError: it did not reach its end; says why.
    """
    if (fault := fault_of(job_result, log)) is not None:
        raise FaultError(fault, f"exit code {job_result.exit_code}\n{_tail(log)}")
    # A resumed run may validate an epoch again; its later word counts.
    by_epoch = {event["epoch"]: event for event in events if event["event"] == "epoch"}
    names = Epoch.__dataclass_fields__
    epochs = tuple(
        Epoch(**{name: value for name, value in by_epoch[number].items() if name in names})
        for number in sorted(by_epoch)
    )
    ends = [event for event in events if event["event"] == "end"]
    reached = epochs[-1].epoch + 1 if epochs else 0
    if not ends or (reached < expected_epochs and not ends[-1]["stopped_early"]):
        raise FaultError(Fault.STOPPED, f"exit code 0 after {reached} of {expected_epochs} epochs")
    return epochs


def _tail(log: Path) -> str:
    if not log.is_file():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if privacy_settings.hides_texts():
        lines = [line for line in lines if not is_said(line)]
    lines = lines[-_LOG_TAIL_LINES:]
    return "the end of its log:\n" + "\n".join(f"  {line}" for line in lines)
