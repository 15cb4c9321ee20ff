"""A training run: its request, result, file names, name and fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.training.progress import Epoch, Events, FailedAttempt, best_epoch
from tasks.training.recording_roles import RecordingRoles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.data.training_set import TrainingSet
    from tasks.training.recipes import Recipe

EXPERIMENT = "sft"
"""The script's name for the run; the .nemo that it writes is named so."""


MODEL_NAME = "adapted_model.nemo"
"""The model that is shipped: the tuned one, or its mixture with the base."""
TUNED_NAME = "tuned_model.nemo"
"""The tuned model as training left it, where a mixture is shipped."""
INFO_NAME = "training_run_info.json"
LOG_NAME = "training.log"
EVENTS_NAME = "training_events.jsonl"


@dataclass(frozen=True, slots=True)
class SftRequest:
    """One tuning run.

    Attributes:
        base: the .nemo file to start from.
        base_name: as the user named it.
        data: the training set; its files name audio by host paths.
        recipe: hyperparameters.
        model_dir: models/<run> of the cycle.
        audio_roots: folders under which all audio lies.
        labels: how a container of this run is found again.
        key: the run's fingerprint, from ``run_key``; a rung of the ladder does not change it.
        roles: what each recording will have been to the model, over all generations.
        keeps_last: whether the last checkpoint is kept instead of the best; so where too few rows
            could choose.
        rungs: the starts that failed before this one; see tasks/training/fallback.py.
    """

    base: Path
    base_name: str
    data: TrainingSet
    recipe: Recipe
    model_dir: Path
    audio_roots: tuple[Path, ...]
    key: str
    roles: RecordingRoles = field(default_factory=RecordingRoles)
    keeps_last: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    rungs: tuple[FailedAttempt, ...] = ()

    @property
    def averaged(self) -> int:
        """How many checkpoints are averaged; 1 where no rows choose, and the last one is kept."""
        return 1 if self.keeps_last else self.recipe.keep_checkpoints

    @property
    def work_dir(self) -> Path:
        """The folder of the run's files; the same for every start of the same run."""
        return self.model_dir.with_name(f".{self.model_dir.name}.work")

    @property
    def experiment(self) -> Path:
        """The script's own folder, with its checkpoints."""
        return self.work_dir / "experiment"

    @property
    def checkpoints(self) -> Path:
        """The folder of the script's checkpoints and its final .nemo."""
        return self.experiment / EXPERIMENT / "checkpoints"

    @property
    def events(self) -> Path:
        """The path of the launcher's events file."""
        return self.work_dir / "events.jsonl"

    def copy(self, side: str) -> Path:
        """Return the copy of a file of the training set that training reads, by its name."""
        return self.work_dir / f"{side}.jsonl"

    @property
    def reads(self) -> tuple[Path, ...]:
        """The files that training reads besides its work folder."""
        return (self.base, *self.audio_roots)


@dataclass(frozen=True, slots=True)
class SftResult:
    """A finished run: the tuned model, its best checkpoint, and how training went."""

    model: Path
    model_sha256: str
    info: Path
    epochs: tuple[Epoch, ...]
    reused: bool = False

    @property
    def events(self) -> Events:
        """The events that training wrote."""
        return Events(self.model.with_name(EVENTS_NAME))

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights were kept."""
        return best_epoch(self.epochs)


def run_name(base_name: str, recipe: Recipe, key: str) -> str:
    """Return a run's folder name: base, recipe and the start of the fingerprint."""
    name = PurePath(base_name.lower()).name.removesuffix(".nemo")
    base = "".join(char if char.isalnum() else "-" for char in name)
    return f"{base[:40].strip('-')}-{recipe.name}-{key[:8]}"


def run_key(
    base_sha256: str, content: str, recipe: Recipe, runtime: str, *, keeps_last: bool = False
) -> str:
    """Return the fingerprint of a run: two runs that share it train the same model.

    Args:
        base_sha256: hash of the base's file.
        content: of the training set.
        recipe: hyperparameters.
        runtime: the identity of what trains.
        keeps_last: whether the last checkpoint is kept, not the best.
    """
    hyperparameters = recipe.model_dump(mode="json")
    # A training that was finished before the recipe had these fields is the same one.
    for name in ("by_length", "compiled", "distillation", "fused_adamw", "frozen_share"):
        if not hyperparameters[name]:
            del hyperparameters[name]
    if recipe.keep_checkpoints == 1:
        del hyperparameters["keep_checkpoints"]
    parts = [base_sha256, content, hyperparameters, runtime]
    return hashing.fingerprint([*parts, "last checkpoint"] if keeps_last else parts)


def read_info(path: Path) -> dict[str, Any]:
    """Read training_run_info.json.

    Raises:
        InputError: it cannot be read, or is of a newer version of this tool.
    """
    info = atomic_files.read_json(path)
    if not isinstance(info, dict):
        raise InputError(f"{path}: is not the record of a training run.")
    Schema.TRAINING.check(info, path)
    return info


def find_finished(request: SftRequest) -> SftResult | None:
    """Return the complete result of a finished run with the same fingerprint, or None.

    Its ``model`` is no file where a mixture is shipped and the tuned model was not kept.

    Raises:
        InputError: the run's record cannot be read.
    """
    info_path = request.model_dir / INFO_NAME
    if not info_path.is_file():
        return None
    info = read_info(info_path)
    if info.get("key") != request.key:
        return None
    epochs = tuple(Epoch(**epoch) for epoch in info["epochs"])
    tuned_sha256 = tuned_hash(info)
    # Where a mixture is shipped, the tuned model lies beside it.
    for name in (TUNED_NAME, MODEL_NAME):
        model = request.model_dir / name
        if model.is_file() and hashing.sha256(model) == tuned_sha256:
            return SftResult(model, tuned_sha256, info_path, epochs, reused=True)
    shipped = request.model_dir / MODEL_NAME
    whole = shipped.is_file() and hashing.sha256(shipped) == info.get("model_sha256")
    if "shipping" in info and whole:
        # The tuned model was not kept; what was chosen of it is here.
        gone = request.model_dir / TUNED_NAME
        return SftResult(gone, tuned_sha256, info_path, epochs, reused=True)
    return None


def tuned_hash(info: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the tuned model as training left it, by training_run_info.json."""
    shipping = info.get("shipping") or {}
    return str(shipping.get("tuned_sha256", info.get("model_sha256")))


def failed_log(request: SftRequest) -> Path:
    """Return the path of the log kept from a failed run."""
    return request.model_dir.with_name(f"{request.model_dir.name}.failed.log")
