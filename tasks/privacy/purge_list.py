"""A user's list of what is to be purged: a text with a name a line, or rows of a manifest.

A line of text is a recording's path, name or hash, the recording that an import cut rows from, a
``conversation_id`` or a ``voice_id``. A line that is a JSON object means the rows that have its
values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data.purge_journal import JOURNAL_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AUDIO, TEXT = "audio_filepath", "text"
_TABLES = frozenset((".csv", ".tsv", ".xlsx", ".xls", ".ods", ".parquet"))
_SHOWN_DIGITS = 12
_LONGEST = 1024
_LONGEST_SHOWN = 120


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """A line of the list.

    Attributes:
        line: its number, from 1.
        written: as it stands there, without white space around it.
        name: what it names; None where it is an object.
        fields: what the rows that it means have; none where it is a name.
    """

    line: int
    written: str
    name: str | None
    fields: Mapping[str, str | float]

    @property
    def shown(self) -> str:
        """The line for a message, cut where it is long."""
        cut = self.written[: _LONGEST_SHOWN - 1]
        return repr(self.written if len(self.written) <= _LONGEST_SHOWN else f"{cut}…")


@dataclass(frozen=True, slots=True)
class PurgeList:
    """The whole list.

    Attributes:
        path: its file.
        entries: its lines, each content once.
    """

    path: Path
    entries: tuple[ListedEntry, ...]

    @property
    def digest(self) -> str:
        """A hash of what the lines say, whatever the file's name and blank lines."""
        return hashing.fingerprint(sorted(entry.written for entry in self.entries))

    @property
    def label(self) -> str:
        """What a user types to confirm: the file's name, and the begin of the hash."""
        return f"{self.path.name}:{self.digest[:_SHOWN_DIGITS]}"


def read_purge_list(path: Path) -> PurgeList:
    """Read a list; of a purge that was interrupted its journal is the list too.

    Raises:
        InputError: the file is no such list; named are file, line, value and fix.
    """
    place = path.expanduser().absolute()
    if place.suffix.lower() in _TABLES:
        raise InputError(
            f"{path}: is a table. Fix: save the column that names the recordings as text, one a "
            "line and without a heading, in UTF-8."
        )
    try:
        text = place.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file. Fix: name the list.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is no text in UTF-8 ({error}). Fix: save it as UTF-8."
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}). Fix: name a text file.") from error
    lines = text.split("\n")
    if place.name == JOURNAL_NAME:
        lines = _lines_of_journal(path, text)
    entries: dict[str, ListedEntry] = {}
    for number, line in enumerate(lines, start=1):
        if (written := line.strip()) and written not in entries:
            entries[written] = _read_line(path, number, written)
    if not entries:
        raise InputError(f"{path}: names nothing. Fix: write a recording a line.")
    return PurgeList(place, tuple(entries.values()))


def _lines_of_journal(path: Path, text: str) -> list[str]:
    """Return the lines of the list that a purge which was interrupted was given."""
    try:
        lines = json.loads(text)["request"]["recordings"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no journal of a purge ({error!r}).") from error
    if not lines:
        raise InputError(f"{path}: this purge was given no list. Fix: give its own command again.")
    return [str(line) for line in lines]


def _read_line(path: Path, number: int, written: str) -> ListedEntry:
    place = f"{path}: line {number}"
    if written[0] in "[{":
        return ListedEntry(number, written, None, _read_object(place, written))
    if len(written) > _LONGEST or not written.isprintable():
        raise InputError(
            f"{place}: {written[:_LONGEST_SHOWN]!r}… is no name of a recording. Fix: write one "
            "name a line, as text."
        )
    return ListedEntry(number, written, written, {})


def _read_object(place: str, written: str) -> dict[str, str | float]:
    """Return the fields by which an object means rows.

    A row of a manifest means its recording: only its path and its text are compared. Of any other
    object all fields are.
    """
    fix = (
        'Fix: write one object a line, with audio_filepath or such as {"voice_id": "doctor-7"}, or '
        "a name as plain text."
    )
    shown = repr(written[:_LONGEST_SHOWN])
    try:
        document: Any = json.loads(written)
    except ValueError as error:
        raise InputError(f"{place}: {shown} is no JSON ({error}). {fix}") from error
    if isinstance(document, dict) and AUDIO in document:
        told = (name for name in (AUDIO, TEXT) if document.get(name) is not None)
        document = {name: document[name] for name in told}
    if not isinstance(document, dict) or not document or document.keys() == {TEXT}:
        raise InputError(f"{place}: {shown} has no field that tells rows apart. {fix}")
    for name, value in document.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise InputError(
                f"{place}: {name} is {value!r}; a field that means rows is text or a number. {fix}"
            )
    if AUDIO in document and not isinstance(document[AUDIO], str):
        raise InputError(f"{place}: {AUDIO} is {document[AUDIO]!r}, no path. {fix}")
    return dict(document)
