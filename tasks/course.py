"""The course of a training run: its events, its epochs, and whether it reached its end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.faults import Fault, FaultError, from_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.recipes import Recipe
    from tasks.runtime import Ended

_LOG_TAIL_LINES = 15
_UNK_LINES = 8


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch's course; None where the script reported no figure, 0 MiB without a GPU."""

    epoch: int
    step: int
    train_loss: float | None
    val_loss: float | None
    val_wer: float | None
    seconds: float
    gpu_memory_mib: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands.

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
        """Done, from 0 to 1."""
        return min(1.0, self.batch / self.batches) if self.batches else 0.0


@dataclass(frozen=True, slots=True)
class Rung:
    """One start of a run and the fault that ended it."""

    recipe: Recipe
    fault: Fault

    def as_dict(self) -> dict[str, object]:
        """The rung as training_run_info.json holds it."""
        return {
            "batch_size": self.recipe.batch_size,
            "accumulate_grad_batches": self.recipe.accumulate_grad_batches,
            "effective_batch": self.recipe.effective_batch,
            "precision": self.recipe.precision,
            "fault": self.fault.value,
        }


@dataclass(frozen=True, slots=True)
class Events:
    """The events file that the launcher writes; see tasks/entry/launch.py."""

    path: Path

    def read(self) -> Iterator[dict[str, Any]]:
        """The events so far; a line that is still being written is left for later."""
        if not self.path.is_file():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


class UnkWatch:
    """Notices validation that collapsed to all-UNK, the mark of a base whose tuning is broken.

    NeMo logs one prediction a validation batch. A base that has only just begun to learn writes
    letters; one that collapsed writes nothing but unknown symbols, batch after batch.
    """

    def __init__(self) -> None:
        self._in_a_row = 0

    def see(self, line: str) -> None:
        """Look at a line of the script's log."""
        _, found, predicted = line.partition("predicted:")
        words = predicted.replace("⁇", " <unk> ").split()
        if not found or not words:
            return
        self._in_a_row = self._in_a_row + 1 if set(words) == {"<unk>"} else 0
        if self._in_a_row >= _UNK_LINES:
            raise FaultError(Fault.UNK_COLLAPSE, line)


def progress(events: Iterator[dict[str, Any]], epochs: int) -> Progress:
    """Where training stands, from its events."""
    batches_per_epoch, batch, epoch, validated, memory = 0, 0, 0, 0, 0
    loss = val_wer = None
    for event in events:
        if event["event"] == "start":
            batches_per_epoch = event["batches_per_epoch"]
        elif event["event"] == "step":
            batch, epoch, loss = event["batch"], event["epoch"], event["loss"]
            memory = max(memory, event["gpu_memory_mib"])
        elif event["event"] == "epoch":
            validated, val_wer = event["epoch"] + 1, event["val_wer"]
    total = batches_per_epoch * epochs
    return Progress(epoch, epochs, batch, total, validated, loss, val_wer, memory)


def epochs_validated(events: list[dict[str, Any]]) -> int:
    """How many epochs reached their validation."""
    return max((event["epoch"] + 1 for event in events if event["event"] == "epoch"), default=0)


def check_outcome(
    ended: Ended, events: list[dict[str, Any]], wanted: int, log: Path
) -> tuple[Epoch, ...]:
    """The epochs of a run that reached its end.

    Exit code 0 is not success: a stopped script ends with 0 as well. The last epoch that was asked
    for, or early stopping, must have been reached.

    Raises:
        FaultError: it did not reach its end; says why.
    """
    if ended.oom_killed:
        raise FaultError(Fault.HOST_MEMORY, _tail(log))
    if ended.exit_code != 0:
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        raise FaultError(from_log(text), f"exit code {ended.exit_code}\n{_tail(log)}")
    # A resumed run may validate an epoch again; its later word counts.
    by_epoch = {event["epoch"]: event for event in events if event["event"] == "epoch"}
    epochs = tuple(
        Epoch(**{name: by_epoch[number][name] for name in Epoch.__dataclass_fields__})
        for number in sorted(by_epoch)
    )
    ends = [event for event in events if event["event"] == "end"]
    reached = epochs[-1].epoch + 1 if epochs else 0
    if not ends or (reached < wanted and not ends[-1]["stopped_early"]):
        raise FaultError(Fault.STOPPED, f"exit code 0 after {reached} of {wanted} epochs")
    return epochs


def _tail(log: Path) -> str:
    if not log.is_file():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return f"the end of {log}:\n" + "\n".join(f"  {line}" for line in lines)
