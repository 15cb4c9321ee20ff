"""The model that a cycle ends with, and the trainings that were tried for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.schemas import Schema
from tasks.training import run as training_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasks.training.remedies import Remedy

_OF_THE_WORK = ("key", "seconds", "attempts")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A training that was tried, and what the rows that choose said of its mixtures.

    Attributes:
        remedy: what it changed; None for the first.
        training: the name of its folder.
        epochs: of its recipe.
        rows: that it trained on.
        replayed: those of them that are general English.
        value: of the mixture that was taken.
        held: whether a mixture holds.
        reason: of the choice.
    """

    remedy: Remedy | None
    training: str
    epochs: int
    rows: int
    replayed: int
    value: float
    held: bool
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Return the attempt as decision.json and training_run_info.json hold it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ShippedModel:
    """The model that a cycle ends with.

    Attributes:
        model: adapted_model.nemo.
        sha256: of it.
        choice: its value, and why.
        tuned: the tuned model as training left it; None where it was not kept.
        tuned_sha256: of that.
        reused: whether the choice was made before.
        attempts: the trainings that were tried, in their order, where there was more than one.
    """

    model: Path
    sha256: str
    choice: Mapping[str, Any]
    tuned: Path | None
    tuned_sha256: str
    reused: bool = False
    attempts: tuple[Attempt, ...] = ()

    @property
    def value(self) -> float:
        """How far the weights go from the base (0) to the tuned model (1)."""
        return float(self.choice["value"])

    @property
    def reason(self) -> str:
        """Why it has this value, in words."""
        return str(self.choice["reason"])

    @property
    def holds(self) -> bool | None:
        """Whether a mixture holds on the rows that choose; None where that was not looked at."""
        held: bool | None = self.choice.get("held")
        return held

    @property
    def mixed(self) -> bool:
        """Whether it is another model than the tuned one."""
        return self.sha256 != self.tuned_sha256

    @property
    def plain(self) -> Path:
        """Where the plain tuned model is, or was until it was discarded."""
        return self.tuned or self.model.with_name(training_run.TUNED_NAME)

    def as_dict(self) -> dict[str, Any]:
        """Return the choice and the three models' hashes as decision.json holds them."""
        figures = {name: what for name, what in self.choice.items() if name not in _OF_THE_WORK}
        attempts = [attempt.as_dict() for attempt in self.attempts]
        return {**figures, "shipped_sha256": self.sha256, "attempts": attempts}


def record_attempts(shipped: ShippedModel, attempts: Sequence[Attempt]) -> ShippedModel:
    """Keep the trainings that were tried, also in training_run_info.json beside the model."""
    info = shipped.model.with_name(training_run.INFO_NAME)
    record = training_run.read_info(info)
    tried = [attempt.as_dict() for attempt in attempts]
    if record["shipping"].get("attempts", []) != tried:
        shipping = {**record["shipping"], "attempts": tried}
        atomic_files.write_json(info, Schema.TRAINING.mark({**record, "shipping": shipping}))
    return replace(shipped, attempts=tuple(attempts))


def discard_tuned(shipped: ShippedModel) -> None:
    """Remove the plain tuned model, where a mixture is shipped and nobody wants it."""
    if shipped.mixed and shipped.tuned is not None:
        shipped.tuned.unlink(missing_ok=True)
