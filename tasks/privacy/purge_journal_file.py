"""Swap all prepared files in, so that a kill at any moment is finished by the same command.

First all new contents are written beside their places, under hidden names. Then the journal says
"swapping", and each file is renamed into its place or removed; both can be done again. The journal
holds paths and texts of what is purged. It is removed last.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.data.cycle_folder import cycle_number
from tasks.data.purge_journal import JOURNAL_NAME
from tasks.privacy.purge_plan import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.privacy.purge_plan import FileChange

_STAGED = ".purge-new"


class JournalState(StrEnum):
    """How far a purge has come."""

    STAGING = "staging"
    SWAPPING = "swapping"
    STORES = "stores"


@dataclass
class PurgeJournal:
    """What a purge has to do and has done.

    Attributes:
        clinic: the folder of cycles.
        request: what the user asked for; only the same request ends the purge.
        state: how far it has come.
        changes: path and kind of each change.
        traces: of the recordings, for the stores.
        summary: for the audit log.
    """

    clinic: Path
    request: dict[str, Any]
    state: JournalState = JournalState.STAGING
    changes: list[tuple[str, str]] = field(default_factory=list)
    traces: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self.clinic / JOURNAL_NAME

    def write(self, state: JournalState) -> None:
        """Write the journal with a new state, for its owner alone."""
        self.state = state
        document = Schema.PURGE_JOURNAL.mark(
            {
                "request": self.request,
                "state": state.value,
                "changes": self.changes,
                "traces": self.traces,
                "summary": self.summary,
            }
        )
        new = self.path.with_name(f"{JOURNAL_NAME}.new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump(document, out, ensure_ascii=False)
            out.flush()
            os.fsync(out.fileno())
        new.replace(self.path)
        _flush_folder(self.clinic)

    def remove(self) -> None:
        """Remove the journal: the purge has ended."""
        self.path.unlink(missing_ok=True)


def read_journal(clinic: Path) -> PurgeJournal | None:
    """Read the journal of a purge that was interrupted; None where there is none.

    Raises:
        InputError: it cannot be read.
    """
    path = clinic / JOURNAL_NAME
    if not path.is_file():
        return None
    document = atomic_files.read_json(path)
    Schema.PURGE_JOURNAL.check(document, path)
    return PurgeJournal(
        clinic,
        document["request"],
        JournalState(document["state"]),
        [(str(place), str(kind)) for place, kind in document["changes"]],
        document["traces"],
        document["summary"],
    )


def stage(journal: PurgeJournal, changes: Iterable[FileChange]) -> None:
    """Write all new contents beside their places; until the last is there nothing is changed.

    Raises:
        InputError: one cannot be written; what was written is taken back.
    """
    planned = [change for change in changes if change.kind is not ChangeKind.LEFT]
    journal.changes = [(str(change.path), change.kind.value) for change in planned]
    journal.write(JournalState.STAGING)
    for change in planned:
        try:
            write_staged(change)
        except OSError as refused:
            discard(journal)
            raise InputError(
                f"{change.path}: its new content cannot be written beside it ({refused}), so that "
                "nothing was purged. Fix: free space, or let this user write the folder."
            ) from refused
    journal.write(JournalState.SWAPPING)


def write_staged(change: FileChange) -> None:
    """Write a file's new content beside its place, with the file's rights."""
    if change.content is None:
        return
    staged = staged_path(change.path)
    with staged.open("wb") as out:
        out.write(change.content)
        out.flush()
        os.fsync(out.fileno())
    if change.path.exists():
        shutil.copymode(change.path, staged)


def discard(journal: PurgeJournal) -> None:
    """Take back a purge that was killed while its contents were written."""
    for place, _ in journal.changes:
        staged_path(Path(place)).unlink(missing_ok=True)
    journal.remove()


def swap(journal: PurgeJournal) -> None:
    """Rename every new content into its place and remove what is to go; may be done again."""
    for place, kind in journal.changes:
        swap_file(Path(place), ChangeKind(kind))
    journal.write(JournalState.STORES)


def swap_file(path: Path, kind: ChangeKind) -> None:
    """Do one file's change."""
    if kind is ChangeKind.REMOVE:
        path.unlink(missing_ok=True)
        hashing.forget(path)
        _remove_empty(path.parent)
        return
    staged = staged_path(path)
    if staged.exists():
        staged.replace(path)
    _flush_folder(path.parent)


def staged_path(path: Path) -> Path:
    """Return where a file's new content waits."""
    return path.with_name(f".{path.name}{_STAGED}")


def _remove_empty(folder: Path) -> None:
    """Remove a folder inside of a cycle or of unfinished work, and those above it, once empty.

    A folder's name may name a patient or a visit. One that is gone already was removed before a
    kill, and those above it may still be there.
    """
    while _is_inside_own(folder) and not folder.is_symlink():
        if folder.is_dir():
            if any(folder.iterdir()):
                return
            folder.rmdir()
        folder = folder.parent


def _is_inside_own(folder: Path) -> bool:
    """Return whether a folder lies in a cycle, or is or lies in a hidden one of unfinished work."""
    if any(part.startswith(".") for part in folder.parts[-3:]):
        return True
    names = [folder.name, *(parent.name for parent in folder.parents)]
    return cycle_number(names[0]) is None and any(cycle_number(name) is not None for name in names)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
