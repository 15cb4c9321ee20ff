"""Read a table of Common Voice: tab-separated without quotes, recordings in clips/."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.data.importers.source_rows import (
    SKIP_FIX,
    RowFault,
    SourceRow,
    read_lines,
    recording_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.data.importers.source_rows import Found, ReadOptions

_NEEDED = ("client_id", "path", "sentence")
_DEFAULT = "validated"


def _table_of(source: Path, part: str | None) -> Path:
    return source / f"{part or _DEFAULT}.tsv" if source.is_dir() else source


def detect(source: Path) -> bool:
    """Return whether a table, or a folder's validated.tsv, has Common Voice's columns."""
    path = _table_of(source, None)
    if path.suffix != ".tsv" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as stream:
        return set(_NEEDED) <= set(stream.readline().rstrip("\r\n").split("\t"))


def read(source: Path, options: ReadOptions) -> Iterator[Found]:
    """Yield the rows of a table; ``part`` names another one than validated.

    Raises:
        InputError: there is no such table, or it lacks a column.
    """
    path = _table_of(source, options.part)
    if not path.is_file():
        tables = ", ".join(sorted(table.stem for table in source.glob("*.tsv")))
        raise InputError(f"{path}: there is no such table. Fix: --part with one of {tables}.")
    lines = read_lines(path)
    _, first = next(lines, (1, ""))
    header = first.split("\t")
    if missing := [name for name in _NEEDED if name not in header]:
        raise InputError(
            f"{path}:1: has no column {', '.join(missing)}. Fix: name a Common Voice table."
        )
    clips = path.parent / "clips"
    folder = clips if clips.is_dir() else path.parent
    for line_number, line in lines:
        place = f"{path}:{line_number}"
        cells = line.split("\t")
        if len(cells) != len(header):
            yield RowFault(
                place,
                f"has {len(cells)} cells, the header has {len(header)}",
                f"correct the line, {SKIP_FIX}",
            )
            continue
        values = dict(zip(header, cells, strict=True))
        name = values["path"].strip()
        if not name:
            yield RowFault(place, "names no recording", f"name it, {SKIP_FIX}")
            continue
        try:
            # Early releases left the ending out.
            recording = recording_at(folder, name if "." in name else f"{name}.mp3")
        except ValueError as wrong:
            yield RowFault(place, str(wrong), f"correct the line, {SKIP_FIX}")
            continue
        fields = {"voice_id": values["client_id"].strip()} if values["client_id"].strip() else {}
        yield SourceRow(place, recording, values["sentence"].strip(), fields=fields)
