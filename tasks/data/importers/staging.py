"""The hidden folder beside a cycle in which an import works until the whole cycle is there.

Nothing of an import is in the cycle's folder before the last row is done; then one rename, or one
for each file with the manifest last, puts it there. An import that was stopped is resumed by the
journal, which has one line for each row of the source, in the source's order.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data.cycle_folder import cycle_number
from tasks.data.source_spans import PROVENANCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUDIO, MANIFEST, ABOUT, LEFT_OUT = (
    "audio",
    "manifest.jsonl",
    "import.json",
    "import_left_out.jsonl",
)
SET_APART, CUTS = "import_set_apart.csv", "import_cuts.json"
"""Rows whose text may not be what was said, and what cutting found of each long recording."""
WRITTEN = (AUDIO, PROVENANCE, ABOUT, LEFT_OUT, SET_APART, CUTS, MANIFEST)
"""What an import writes; the manifest comes last and marks a complete one."""
_FILES_A_FOLDER = 1000


@dataclass(frozen=True, slots=True)
class Staging:
    """An import's working folder; ``content`` becomes the cycle's folder."""

    folder: Path
    target: Path

    @property
    def content(self) -> Path:
        """What will be in the cycle's folder."""
        return self.folder / "content"

    @property
    def scratch(self) -> Path:
        """Recordings that had to be decoded into a file."""
        return self.folder / "scratch"

    @property
    def journal(self) -> Path:
        """One line for each row of the source that is done."""
        return self.folder / "journal.jsonl"

    @property
    def _old_journal(self) -> Path:
        return self.folder / "journal.old.jsonl"

    def take_old_journal(self) -> None:
        """Set the journal of a stopped import aside, to be read while a new one is written."""
        lines = _whole_lines(self.journal)
        older = _whole_lines(self._old_journal)
        temporary = self.folder / "journal.both.jsonl"
        with temporary.open("w", encoding="utf-8") as out:
            count = 0
            for line in lines:
                out.write(line)
                count += 1
            for place, line in enumerate(older):
                if place >= count:
                    out.write(line)
        temporary.replace(self._old_journal)
        self.journal.unlink(missing_ok=True)

    def old_entries(self) -> Iterator[dict[str, Any]]:
        """Yield the entries of a stopped import in the source's order."""
        for line in _whole_lines(self._old_journal):
            yield json.loads(line)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield this import's entries."""
        for line in _whole_lines(self.journal):
            yield json.loads(line)

    def publish(self) -> None:
        """Put the finished content into the cycle's folder, and remove the working folder."""
        if not self.target.exists():
            self.content.replace(self.target)
        else:
            for name in WRITTEN:
                if (self.content / name).exists():
                    (self.content / name).replace(self.target / name)
        shutil.rmtree(self.folder)


def audio_name(row: int) -> str:
    """Return a row's file: a number alone, since names of recordings may name patients."""
    return f"{AUDIO}/{(row - 1) // _FILES_A_FOLDER:03d}/{row:06d}.flac"


def write_entry(journal: TextIO, entry: dict[str, Any]) -> None:
    """Append an entry; what the process had written survives its kill."""
    journal.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")


def _whole_lines(path: Path) -> Iterator[str]:
    """Yield the lines that were written to their end."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="\n", errors="replace") as stream:
        for line in stream:
            if line.endswith("\n"):
                yield line


@contextmanager
def open_staging(target: Path) -> Iterator[Staging]:
    """Take the working folder of a cycle; another import of the same cycle is refused.

    Raises:
        InputError: the cycle has content, its place cannot be written, or another import runs.
    """
    check_target(target)
    staging = Staging(target.parent / f".{target.name}.importing", target)
    try:
        for folder in (staging.content, staging.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(staging.folder, os.O_RDONLY)
    except OSError as wrong:
        raise atomic_files.unwritable(target, wrong) from wrong
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{target}: another import writes this cycle. Fix: wait for its end."
            ) from None
        yield staging
    finally:
        os.close(lock)


def check_target(target: Path) -> None:
    """Refuse a cycle that has content.

    Raises:
        InputError: it has, or it is a file.
    """
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: is a file. Fix: name a cycle's folder.")
    for name in reversed(WRITTEN):
        if os.path.lexists(target / name):
            raise InputError(
                f"{target / name}: is there already, and a cycle is never changed in place. "
                f"Fix: import into another folder, such as cycle{_next_number(target)}."
            )


def _next_number(target: Path) -> int:
    numbers = (cycle_number(path.name) for path in target.parent.glob("cycle*"))
    return max((number for number in numbers if number is not None), default=0) + 1
