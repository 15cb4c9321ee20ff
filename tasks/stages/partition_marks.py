"""Say what each row of an evaluation was to the model: by marks, the model's list, then a file.

A row that a model was trained on is never called held out, whatever a file says. The evaluation's
mark was made by the run that trained, and the list beside the model by the same; a file may be of
another split. It is believed as far as its own marks, and the files beside it, agree.
"""

from __future__ import annotations

import dataclasses
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.data.training_set import ListedRow, listed_rows
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.row_matching import keys
from tasks.evaluation.scoring import Scores
from tasks.stages.row_recordings import are_others, audio_folders, hash_recordings
from tasks.training import recording_roles, tuned_models
from tasks.training.seen_sound import roles_for_samples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.evaluation.baseline import Baseline
    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.training.recording_roles import RecordingRoles

_SEEN = {Partition.TRAINED: "trained on", Partition.CHOSE: "used to choose"}
_NEIGHBOURS = {"train.jsonl": Partition.TRAINED, "selection.jsonl": Partition.CHOSE}
"""Files of one split lie side by side: what each holds beside the rows that judge."""


def mark_parts(
    later: Baseline, after: Path, model: Path | None, held_out: Path | None
) -> tuple[Scores, list[str]]:
    """Mark the rows of an evaluation; return it with notes for the user.

    Args:
        later: the evaluation, scored.
        after: its file, or its cycle's folder.
        model: the model that made it; None for that of the cycle's run record.
        held_out: a manifest of held-out rows; None for none.

    Raises:
        InputError: no list lies beside the named model or none of its recordings is here, or no
            row of ``held_out`` may judge.
    """
    rows = [row.row for row in later.scores.rows]
    parts = [row.part for row in rows]
    notes: list[str] = []
    if model is not None or None in parts:
        parts = _by_model(rows, parts, after, model, notes)
    if held_out is not None:
        parts = _by_file(rows, parts, held_out, after, notes)
    marked = (
        dataclasses.replace(row, row=dataclasses.replace(row.row, part=part))
        for row, part in zip(later.scores.rows, parts, strict=True)
    )
    return Scores(tuple(marked)), notes


def _by_model(
    rows: Sequence[Hypothesis],
    parts: Sequence[Partition | None],
    after: Path,
    model: Path | None,
    notes: list[str],
) -> list[Partition | None]:
    """Mark rows by the model's own list of recordings, each known by the hash of its samples."""
    folder = _model_folder(after) if model is None else _named_folder(model.expanduser(), after)
    if folder is None:
        return list(parts)
    roles = recording_roles.read(folder)
    if not (roles.seen or roles.verdicts):
        if model is None:
            return list(parts)
        raise InputError(
            f"{folder / recording_roles.NAME}: there is no list of the recordings that {model.name}"
            " has seen. Fix: name adapted_model.nemo in the folder where it was trained."
        )
    hashes = hash_recordings(
        [row.audio_filepath for row in rows], [*audio_folders(after), folder.parent.parent]
    )
    if model is not None and not any(hashes):
        raise InputError(
            f"{after}: no recording of its rows is on this host (first: "
            f"{rows[0].audio_filepath!r}), and {model.name} knows recordings by their content. "
            "Fix: leave --model out and name the rows with --held-out, or bring the recordings."
        )
    roles = roles_for_samples(roles, hashes, _clinic(after))
    marked = [
        _part_by_roles(part, recordings, roles)
        for part, recordings in zip(parts, hashes, strict=True)
    ]
    if changed := sum(old is not new for old, new in zip(parts, marked, strict=True)):
        notes.append(
            f"{counted(changed, 'row')} {agreed(changed, 'is', 'are')} marked by the model's own "
            f"list ({folder.name})."
        )
    return marked


def _part_by_roles(
    part: Partition | None, recordings: frozenset[str], roles: RecordingRoles
) -> Partition | None:
    """Return what a row was, of which the recording is one of these."""
    if recordings & roles.trained:
        return Partition.TRAINED
    if recordings & roles.chose:
        return part if part is Partition.TRAINED else Partition.CHOSE
    return Partition.HELD_OUT if part is None and recordings else part


def _by_file(
    rows: Sequence[Hypothesis],
    parts: Sequence[Partition | None],
    held_out: Path,
    after: Path,
    notes: list[str],
) -> list[Partition | None]:
    """Mark the rows that nothing else marks: those of the file were held out, others trained on.

    Where the file gives no texts, a row is known by its audio alone. A row that the file itself, or
    a file of the same split beside it, gives to training or to choosing was not held out.
    """
    listed = listed_rows(held_out)
    by_text = all(row.text is not None for row in listed)
    beside = {
        name: _distinct(listed_rows(path), by_text=by_text)
        for name in _NEIGHBOURS
        if (path := held_out.parent / name).is_file()
    }
    listed_keys, row_keys, *beside_keys = keys(
        [(row.audio, (row.text or "") if by_text else "") for row in listed],
        [(row.audio_filepath, row.ref if by_text else "") for row in rows],
        *beside.values(),
    )
    by_key = dict(zip(listed_keys, listed, strict=True))
    matched = [by_key.get(key) for key in row_keys]
    others = _count_others(rows, matched, held_out, after)
    is_listed = [row is not None for row in matched]
    if not any(is_listed):
        because = (
            f"; {others} have the names and texts of its rows, but are other recordings"
            if others
            else ""
        )
        raise InputError(
            f"{held_out}: none of its rows is in the evaluation (audio file and text){because}. "
            "Fix: name the validation.jsonl of the same cycle."
        )
    said = [_part_in_file(row) for row in matched]
    _tell(notes, held_out, is_listed, said, "its own marks say")
    for name, keys_there in zip(beside, beside_keys, strict=True):
        there = set(keys_there)
        part = _NEIGHBOURS[name]
        found = [
            part if row and key in there else None
            for row, key in zip(is_listed, row_keys, strict=True)
        ]
        if name != held_out.name:
            _tell(notes, held_out, is_listed, found, f"{name} beside it says")
        said = [old or new for old, new in zip(said, found, strict=True)]
    _tell(notes, held_out, is_listed, parts, "the evaluation or the model's own list says")
    unlisted = sum(
        not row and old is Partition.HELD_OUT for row, old in zip(is_listed, parts, strict=True)
    )
    if unlisted:
        notes.append(
            f"{counted(unlisted, 'held-out row')} of the evaluation "
            f"{agreed(unlisted, 'is', 'are')} not in {held_out.name}: it is of another split. "
            f"{agreed(unlisted, 'It judges', 'They judge')} all the same."
        )
    marked: list[Partition | None] = [
        old or new or (Partition.HELD_OUT if row else Partition.TRAINED)
        for row, old, new in zip(is_listed, parts, said, strict=True)
    ]
    if Partition.HELD_OUT not in marked:
        raise InputError(
            f"{held_out}: all of its rows were trained on or used to choose, as the evaluation, "
            "the model's own list, or a file of the same split says; none may judge. Fix: name "
            "the validation.jsonl of the split that the model was trained with."
        )
    return marked


def _distinct(rows: Sequence[ListedRow], *, by_text: bool) -> list[tuple[str, str]]:
    """Return each row's audio and text once: a row may be trained on several times."""
    return [*dict.fromkeys((row.audio, (row.text or "") if by_text else "") for row in rows)]


def _part_in_file(row: ListedRow | None) -> Partition | None:
    """Return what a result that is named as held out says of a row, if it was seen."""
    return next((part for part in _SEEN if row is not None and row.part == part.value), None)


def _tell(
    notes: list[str],
    held_out: Path,
    is_listed: Sequence[bool],
    parts: Sequence[Partition | None],
    source: str,
) -> None:
    """Note how many of the file's rows are not held out, and who says so."""
    for part, said in _SEEN.items():
        if seen := sum(row and one is part for row, one in zip(is_listed, parts, strict=True)):
            notes.append(
                f"{seen} of {sum(is_listed)} rows of {held_out.name} were {said} by the model, as "
                f"{source}: they are not held out, whatever the file says."
            )


def _count_others(
    rows: Sequence[Hypothesis],
    matched: list[ListedRow | None],
    held_out: Path,
    after: Path,
) -> int:
    """Unmatch rows whose recording is surely another one than the file's; return how many."""
    places = [place for place, row in enumerate(matched) if row is not None]
    names = [
        (listed.audio, row.audio_filepath)
        for listed, row in zip(matched, rows, strict=True)
        if listed is not None
    ]
    others = are_others(names, [held_out.parent], [*audio_folders(after)])
    for place, other in zip(places, others, strict=True):
        if other:
            matched[place] = None
    return sum(others)


def _model_folder(after: Path) -> Path | None:
    """Return the folder of the model that a cycle's run record names, if it is here."""
    record = after / "run.json"
    if not record.is_file():
        return None
    named = (atomic_files.read_json(record).get("sft") or {}).get("model")
    if not isinstance(named, str):
        return None
    # The cycle may have been copied from another host with the one before beside it.
    previous = open_cycle(after).previous
    folders = [PurePosixPath(named).parent.name]
    places = [] if previous is None else [previous.path / "models" / name for name in folders]
    return next((place for place in places if place.is_dir()), None)


def _clinic(after: Path) -> Path:
    """Return the folder of the clinic's cycles, of an evaluation's file or its cycle's folder."""
    return after.absolute().parent if after.is_dir() else after.absolute().parent.parent


def _named_folder(model: Path, after: Path) -> Path:
    """Return the folder with a named model's list; a copy is known by its content."""
    return tuned_models.folder_of(model, after.absolute().parent) or model.parent
