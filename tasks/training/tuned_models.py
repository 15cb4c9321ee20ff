"""Find what a tuned model was trained on, wherever its file was moved and however it is named.

The list of recordings lies beside the model. A model that was renamed, or copied away from its
list, is known by its content among the models that the clinic's cycles trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.data.cycle_folder import KEPT_NAME
from tasks.training import recording_roles
from tasks.training.recording_roles import RecordingRoles
from tasks.training.run import INFO_NAME, MODEL_NAME, TUNED_NAME, tuned_hash

if TYPE_CHECKING:
    from pathlib import Path

_RECORDS = (
    f"cycle*/models/*/{INFO_NAME}",
    # Of kept runs whose place another run took.
    f"cycle*/{KEPT_NAME}/*/cycle*/models/*/{INFO_NAME}",
)


def roles_of(model: Path, clinic: Path) -> RecordingRoles:
    """Return what each recording was to a tuned model; no roles for any other model.

    Args:
        model: its file.
        clinic: the folder of the clinic's cycles.
    """
    folder = folder_of(model, clinic)
    return RecordingRoles() if folder is None else recording_roles.read(folder)


def folder_of(model: Path, clinic: Path) -> Path | None:
    """Return the folder with the list of recordings of a tuned model; None for any other model.

    Args:
        model: its file.
        clinic: the folder of the clinic's cycles.
    """
    if model.name in {MODEL_NAME, TUNED_NAME} and _has_list(model.parent):
        return model.parent
    # Of labelled/cycle1 the cycles that were trained on may lie beside labelled.
    records = [model.parent / INFO_NAME]
    records += [
        path
        for place in (clinic, clinic.parent)
        for names in _RECORDS
        for path in place.glob(names)
    ]
    candidates = [path for path in records if path.is_file() and _has_list(path.parent)]
    if not candidates or not model.is_file():
        return None
    content = hashing.sha256(model)
    return next((path.parent for path in candidates if content in _models_of(path)), None)


def _has_list(folder: Path) -> bool:
    names = (recording_roles.NAME, recording_roles.TRAINED_NAME)
    return any((folder / name).is_file() for name in names)


def _models_of(record: Path) -> set[str]:
    """Return the hashes of the models that a run wrote: the shipped and the plain tuned one."""
    try:
        info: Any = atomic_files.read_json(record)
    except InputError:
        return set()  # of a run that was not asked about
    if not isinstance(info, dict):
        return set()
    base = info.get("base")
    # A mixture of value 0 is its base, which has learnt nothing.
    base_sha256 = base.get("sha256") if isinstance(base, dict) else None
    return {str(info.get("model_sha256")), tuned_hash(info)} - {str(base_sha256)}
