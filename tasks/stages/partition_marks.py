"""Say what each row of an evaluation was to the model: by marks, the model's list, then a file.

A row that a model was trained on is never called held out, whatever a file says. The evaluation's
mark was made by the run that trained, and the list beside the model by the same; a file may be of
another split.
"""

from __future__ import annotations

import dataclasses
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data import audio_probe
from tasks.data.audio_paths import as_posix
from tasks.data.audio_probe import AudioFacts
from tasks.data.cycle_folder import open_cycle
from tasks.data.training_set import held_out_rows
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.row_matching import keys
from tasks.evaluation.scoring import Scores
from tasks.training import recording_roles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tasks.evaluation.baseline import Baseline
    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.training.recording_roles import RecordingRoles

_SEEN = {Partition.TRAINED: "trained on", Partition.CHOSE: "used to choose"}


def mark_parts(
    later: Baseline, after: Path, model: Path | None, held_out: Path | None
) -> tuple[Scores, list[str]]:
    """Mark the rows of the later evaluation; return it with notes for the user.

    Args:
        later: the later evaluation, scored.
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
        parts = _by_file(rows, parts, held_out, notes)
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
    folder = _model_folder(after) if model is None else model.expanduser().parent
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
    hashes = _hash_recordings(rows, [*_audio_folders(after), folder.parent.parent])
    if model is not None and not any(hashes):
        raise InputError(
            f"{after}: no recording of its rows is on this host (first: "
            f"{rows[0].audio_filepath!r}), and {model.name} knows recordings by their content. "
            "Fix: leave --model out and name the rows with --held-out, or bring the recordings."
        )
    marked = [
        _part_by_roles(part, recording, roles)
        for part, recording in zip(parts, hashes, strict=True)
    ]
    if changed := sum(old is not new for old, new in zip(parts, marked, strict=True)):
        notes.append(f"{changed} rows are marked by the model's own list ({folder.name}).")
    return marked


def _part_by_roles(
    part: Partition | None, recording: str | None, roles: RecordingRoles
) -> Partition | None:
    if recording in roles.trained:
        return Partition.TRAINED
    if recording in roles.chose:
        return part if part is Partition.TRAINED else Partition.CHOSE
    return Partition.HELD_OUT if part is None and recording is not None else part


def _by_file(
    rows: Sequence[Hypothesis],
    parts: Sequence[Partition | None],
    held_out: Path,
    notes: list[str],
) -> list[Partition | None]:
    """Mark the rows that nothing else marks: those of the file were held out, others trained on.

    Where the file gives no texts, a row is known by its audio alone.
    """
    held_out_keys = held_out_rows(held_out)
    by_text = all(text is not None for _, text in held_out_keys)
    listed_keys, row_keys = keys(
        [(audio, text or "") for audio, text in held_out_keys],
        [(row.audio_filepath, row.ref if by_text else "") for row in rows],
    )
    listed = set(listed_keys)
    is_listed = [key in listed for key in row_keys]
    if not any(is_listed):
        raise InputError(
            f"{held_out}: none of its rows is in the evaluation (audio file and text). "
            "Fix: name the validation.jsonl of the same cycle."
        )
    for part, said in _SEEN.items():
        if seen := sum(row and old is part for row, old in zip(is_listed, parts, strict=True)):
            notes.append(
                f"{seen} of {sum(is_listed)} rows of {held_out.name} were {said} by the model, as "
                "the evaluation or the model's own list says: they are not held out, whatever the "
                "file says."
            )
    unlisted = sum(
        not row and old is Partition.HELD_OUT for row, old in zip(is_listed, parts, strict=True)
    )
    if unlisted:
        notes.append(
            f"{unlisted} held-out rows of the evaluation are not in {held_out.name}: it is of "
            "another split. They judge all the same."
        )
    marked: list[Partition | None] = [
        old or (Partition.HELD_OUT if row else Partition.TRAINED)
        for row, old in zip(is_listed, parts, strict=True)
    ]
    if Partition.HELD_OUT not in marked:
        raise InputError(
            f"{held_out}: all of its rows were trained on or used to choose, as the evaluation or "
            "the model's own list says; none may judge. Fix: name the validation.jsonl of the "
            "split that the model was trained with."
        )
    return marked


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


def _audio_folders(after: Path) -> Iterator[Path]:
    """Yield the folders from which an evaluation's relative paths may count."""
    if not after.is_dir():
        yield after.parent
        return
    cycle = open_cycle(after)
    yield cycle.path
    if cycle.previous is not None:
        yield cycle.previous.path


def _find_recording(name: str, folders: Sequence[Path]) -> Path | None:
    places = (folder / as_posix(name) for folder in folders)
    return next((place for place in places if place.is_file()), None)


def _hash_recordings(rows: Sequence[Hypothesis], folders: Sequence[Path]) -> list[str | None]:
    """Return the content hash of each row's recording; None where it is not here."""
    paths = [_find_recording(row.audio_filepath, folders) for row in rows]
    facts = iter(audio_probe.probe_all([path for path in paths if path is not None]))
    hashes: list[str | None] = []
    for path in paths:
        fact = None if path is None else next(facts)
        hashes.append(fact.sha256 if isinstance(fact, AudioFacts) else None)
    return hashes
