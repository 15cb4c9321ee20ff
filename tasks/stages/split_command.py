"""Make a split on request, and never overwrite one that a run used or uses.

Whoever compares evaluations names the validation.jsonl beside the manifest. If another split took
its place, rows that a model was trained on would be called held out.
"""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.data.training_set import held_out_rows, write_training_set
from tasks.evaluation.row_matching import keys
from tasks.training.run import INFO_NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.data.preflight import CheckedRow
    from tasks.data.split_parts import Split
    from tasks.data.training_set import TrainingSet

FOLDER = "splits"
"""The folder of splits that are kept apart from the one that runs use."""
_FILES = ("train.jsonl", "selection.jsonl", "validation.jsonl")


def write_split(
    cycle: Cycle, rows: tuple[CheckedRow, ...], parts: Split, *, again: bool = False
) -> TrainingSet:
    """Write the files of a split beside the manifest, or kept apart under ``splits/``.

    Args:
        cycle: whose manifest was split.
        rows: its checked rows.
        parts: the split.
        again: keep the files apart, in a folder of their own.

    Raises:
        InputError: another split lies there, and a run used it or uses it.
    """
    if again:
        folder = _make_folder(cycle, lambda made: _agrees(made, rows, parts))
        return write_training_set(folder, rows, parts)
    if (run := find_run(cycle)) is not None and not _agrees(cycle.path, rows, parts):
        raise InputError(
            f"{cycle.path / 'validation.jsonl'}: {run} rests on the split that lies there, and "
            "this one judges or chooses by other rows. Rows that its model was trained on would "
            "then be called held out. Fix: --again writes this split into "
            f"{cycle.path / FOLDER} and leaves the other as it is."
        )
    return write_training_set(cycle.path, rows, parts)


def keep_used_split(cycle: Cycle, rows: tuple[CheckedRow, ...], parts: Split) -> str | None:
    """Copy the split that an earlier run used, before a run writes another one in its place.

    Returns:
        A note for the user; None where nothing is overwritten.
    """
    if (run := find_run(cycle)) is None or _agrees(cycle.path, rows, parts):
        return None
    folder = _make_folder(cycle, lambda made: _is_copy(cycle.path, made))
    for name in _FILES:
        if (path := cycle.path / name).is_file():
            shutil.copyfile(path, folder / name)
    return f"{run} used another split; its files are kept in {FOLDER}/{folder.name}"


def _is_copy(source: Path, folder: Path) -> bool:
    return all(_content(source / name) == _content(folder / name) for name in _FILES)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def find_run(cycle: Cycle) -> str | None:
    """Name a training of this cycle that is finished or under way; None where there is none."""
    models = cycle.path / "models"
    if not models.is_dir() or not (cycle.path / "validation.jsonl").is_file():
        return None
    for folder in sorted(models.iterdir()):
        if (folder / INFO_NAME).is_file():
            return f"the finished run {folder.name}"
        if folder.name.startswith(".") and folder.name.endswith(".work"):
            return f"the run {folder.name[1:].removesuffix('.work')}"
    return None


def _agrees(folder: Path, rows: tuple[CheckedRow, ...], parts: Split) -> bool:
    """Return whether a folder's files hold the same rows in the parts that judge and choose."""
    by_number = {row.utterance.row: row for row in rows}
    return all(
        _holds(folder / name, [by_number[number] for number in numbers])
        for name, numbers in (
            ("validation.jsonl", parts.validation),
            ("selection.jsonl", parts.selection),
        )
    )


def _holds(path: Path, rows: list[CheckedRow]) -> bool:
    """Return whether a file holds these rows; its paths may be those of another folder."""
    written = held_out_rows(path) if path.is_file() else []
    there, here = keys(
        [(audio, text or "") for audio, text in written],
        [(str(row.audio), row.utterance.text) for row in rows],
    )
    return set(there) == set(here)


def _make_folder(cycle: Cycle, holds_it: Callable[[Path], bool]) -> Path:
    """Make the first numbered folder of splits that is free, or return one that holds this one."""
    folders = (cycle.path / FOLDER / str(number) for number in itertools.count(1))
    folder = next(folder for folder in folders if not folder.exists() or holds_it(folder))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
