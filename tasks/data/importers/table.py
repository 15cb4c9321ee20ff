"""Read a table of recordings: CSV, TSV or XLSX, its columns guessed, shown and overridable."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.common.shell_words import in_shell
from tasks.data.importers.source_rows import (
    SKIP_FIX,
    RowFault,
    SourceRow,
    needs_package,
    number,
    read_lines,
    recording_at,
)
from tasks.data.manifest import CONVERSATION, GROUP
from tasks.data.row_schema import CLINICAL_FIELDS
from tasks.data.row_terms import TERMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tasks.data.importers.source_rows import Found, ReadOptions

_DELIMITERS = {".csv": None, ".tsv": "\t"}
_XLSX = ".xlsx"
AUDIO, TEXT, START, END, DURATION, CHANNEL = "audio", "text", "start", "end", "duration", "channel"
_BARE = str.maketrans("", "", " _-.")

# What other tools call a column, in letters and digits alone; the first of a row counts most.
_GUESSES: dict[str, tuple[str, ...]] = {
    AUDIO: (
        *("audiofilepath", "audio", "audiopath", "audiofile", "audiofilename", "path", "filepath"),
        *("filename", "file", "wav", "wavfile", "wavpath", "recording", "recordingfile", "clip"),
    ),
    TEXT: (
        *("text", "transcript", "transcription", "sentence", "utterance", "reference", "ref"),
        *("transcriptiontext", "spokentext", "dictation", "label"),
    ),
    START: ("start", "offset", "starttime", "begin", "begintime", "startseconds", "starts"),
    END: ("end", "endtime", "stop", "stoptime", "endseconds", "ends"),
    DURATION: ("duration", "dur", "length", "durations", "lengthseconds", "durationseconds"),
    CHANNEL: ("channel", "chan"),
    "term": ("term", "keyword", "clinicalterm", "entity"),
    "entity_category": ("entitycategory", "category", "entitytype"),
    "ipa_source": ("ipasource",),
    "voice_id": ("voiceid", "speaker", "speakerid", "spk", "spkid", "voice", "clientid"),
    "noise_level": ("noiselevel", "noise"),
    "context_type": ("contexttype", "context"),
    GROUP: ("group",),
    CONVERSATION: ("conversationid", "conversation"),
    "bandwidth": ("bandwidth",),
    TERMS: ("terms",),
}
_TEXT_FIELDS = (*CLINICAL_FIELDS, GROUP, CONVERSATION, "bandwidth")


def detect(source: Path) -> bool:
    """Return whether the file's ending is a table's."""
    return source.is_file() and source.suffix.lower() in (*_DELIMITERS, _XLSX)


def read(source: Path, options: ReadOptions) -> Iterator[Found]:
    """Yield the rows of a table; recordings are relative to its folder.

    Raises:
        InputError: it cannot be read, or its columns are not clear.
    """
    rows = read_cells(source, options.part)
    place, header = next(rows, ("", []))
    if not header:
        raise InputError(f"{source}: is empty. Fix: name a table with a header.")
    columns = map_columns(source, header, options)
    for place, cells in rows:
        if len(cells) > len(header) and any(cells[len(header) :]):
            yield RowFault(
                place,
                f"has {len(cells)} cells, the header has {len(header)}",
                f"put cells that hold a separator into quotes, {SKIP_FIX}",
            )
            continue
        values = {
            name: cells[column] if column < len(cells) else "" for name, column in columns.items()
        }
        try:
            yield row_of(place, values, source.parent)
        except ValueError as wrong:
            yield RowFault(place, str(wrong), f"correct the cell, {SKIP_FIX}")


def read_cells(source: Path, part: str | None) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the cells of each line of a table, its header first.

    Raises:
        InputError: it cannot be read.
    """
    return _sheet(source, part) if source.suffix.lower() == _XLSX else _lines(source)


def row_of(place: str, values: Mapping[str, Any], folder: Path) -> SourceRow:
    """Return the row of a record by the manifest's names.

    Raises:
        ValueError: a value is missing or of the wrong kind.
    """
    audio = str(values.get(AUDIO) or "").strip()
    if not audio:
        raise ValueError("names no recording")
    start, end = number(values.get(START)), number(values.get(END))
    duration = number(values.get(DURATION))
    if start is not None and end is None:
        if duration is None:
            raise ValueError("has a start, and neither end nor duration")
        end = start + duration
    channel = number(values.get(CHANNEL))
    if channel is not None and (channel < 1 or channel != int(channel)):
        raise ValueError(f"channel {channel:g} is none: they are counted from 1")
    if start is not None and start < 0:
        raise ValueError(f"start {start:g} is negative")
    fields: dict[str, Any] = {
        name: str(value).strip()
        for name, value in values.items()
        if name not in _GUESSES and value is not None and value != ""
    }
    if terms := values.get(TERMS):
        fields[TERMS] = terms  # a list, or its JSON in a cell
    for name in _TEXT_FIELDS:
        if value := str(values.get(name) or "").strip():
            fields[name] = value
    return SourceRow(
        place,
        recording_at(folder, audio),
        str(values.get(TEXT) or "").strip(),
        start=start or 0.0,
        end=end,
        duration=duration if end is None else None,
        channel=None if channel is None else int(channel) - 1,
        fields=fields,
    )


def map_columns(source: Path, header: Sequence[str], options: ReadOptions) -> dict[str, int]:
    """Return the column of each field, as the user names it or as its header lets guess.

    Raises:
        InputError: recording or text have no column, a guess is not clear, or a named column is
            not there.
    """
    shown = ", ".join(repr(name) for name in header)
    columns: dict[str, int] = {}
    for name, column in options.columns.items():
        key = AUDIO if name == "audio_filepath" else name
        if column not in header:
            raise InputError(
                f"{source}: --column {name}={column}: there is no such column. Fix: one of {shown}."
            )
        columns[key] = header.index(column)
    bare = [name.translate(_BARE).lower() for name in header]
    for name, guesses in _GUESSES.items():
        if name in columns:
            continue
        found = [place for place, written in enumerate(bare) if written in guesses]
        found = [place for place in found if place not in columns.values()]
        if len(found) > 1 and name in {AUDIO, TEXT}:
            candidates = " or ".join(repr(header[place]) for place in found)
            raise InputError(
                f"{source}: {name} may be {candidates}. "
                f"Fix: say which, with --column {in_shell(f'{name}={header[found[0]]}')}."
            )
        if found:
            columns[name] = found[0]
    for name in (AUDIO, TEXT):
        if name not in columns:
            raise InputError(
                f"{source}: no column looks like the {name}; there are {shown}. "
                f"Fix: --column {name}=COLUMN."
            )
    unused = [name for place, name in enumerate(header) if place not in columns.values()]
    mapping = ", ".join(f"{name}={header[place]!r}" for name, place in columns.items())
    options.note(f"columns: {mapping}")
    if unused:
        options.note(f"columns left out: {', '.join(unused)} (keep one with --column NAME=COLUMN)")
    return columns


def _lines(source: Path) -> Iterator[tuple[str, list[str]]]:
    delimiter = _DELIMITERS.get(source.suffix.lower())
    line_number = 0

    def lines() -> Iterator[str]:
        # The reader counts the lines that it gets, and blank ones are not among them.
        nonlocal line_number
        for place, line in read_lines(source):
            line_number = place
            yield line + "\n"

    if delimiter is None:
        head = next((line for _, line in read_lines(source)), "")
        delimiter = max(",;\t|", key=head.count)
    try:
        for cells in csv.reader(lines(), delimiter=delimiter, strict=True):
            yield f"{source}:{line_number}", cells
    except csv.Error as wrong:
        raise InputError(
            f"{source}:{line_number}: is not readable as a table ({wrong}). "
            "Fix: close the quotes there."
        ) from wrong


def _sheet(source: Path, part: str | None) -> Iterator[tuple[str, list[str]]]:
    try:
        import openpyxl  # noqa: PLC0415 - an optional package
    except ImportError as absent:
        raise needs_package("openpyxl", "Reading an XLSX table") from absent
    try:
        book = openpyxl.load_workbook(source, read_only=True, data_only=True)
    except Exception as wrong:
        raise InputError(
            f"{source}: is not readable as XLSX ({wrong}). Fix: save it again, or as CSV."
        ) from wrong
    try:
        if part is not None and part not in book.sheetnames:
            raise InputError(
                f"{source}: there is no sheet {part!r}. Fix: one of {', '.join(book.sheetnames)}."
            )
        if part is None and len(book.sheetnames) > 1:
            raise InputError(
                f"{source}: has several sheets ({', '.join(book.sheetnames)}). "
                f"Fix: name one with --part {in_shell(book.sheetnames[0])}."
            )
        sheet = book[part or book.sheetnames[0]]
        for line_number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            if any(cell is not None for cell in cells):
                yield (
                    f"{source}: sheet {sheet.title}, row {line_number}",
                    ["" if cell is None else str(cell) for cell in cells],
                )
    finally:
        book.close()
