"""Read a labelling sheet that `asr-flywheel sheet` wrote and a person has filled in.

A row counts once a person has checked it: its text was a model's hypothesis before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.data.importers import table
from tasks.data.importers.source_rows import SKIP_FIX, RowFault, SourceRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.data.importers.source_rows import Found, ReadOptions

CHECKED, HYPOTHESIS = "checked", "hypothesis"
_NEEDED = frozenset(("audio_filepath", "text", CHECKED, HYPOTHESIS))
_YES = frozenset(("x", "yes", "y", "1", "true", "ok", "✓", "done"))
_UNCLEAR = frozenset(("unclear", "?"))
_NO = frozenset(("", "no", "n", "0", "false", "-"))


def detect(source: Path) -> bool:
    """Return whether a table has a sheet's columns."""
    if not table.detect(source):
        return False
    try:
        _, header = next(table.read_cells(source, None), ("", []))
    except InputError:
        return False
    return set(header) >= _NEEDED


def read(source: Path, options: ReadOptions) -> Iterator[Found]:
    """Yield the rows that a person has checked; say how many are not, and how many are unclear.

    Raises:
        InputError: it cannot be read, or is no sheet.
    """
    rows = table.read_cells(source, options.part)
    _, header = next(rows, ("", []))
    if lacking := sorted(_NEEDED - set(header)):
        raise InputError(
            f"{source}: has no column {', '.join(lacking)}. "
            "Fix: name a sheet that `asr-flywheel sheet` wrote, or import it with --format table."
        )
    columns = {name: header.index(name) for name in _NEEDED}
    waiting = unclear = 0
    for place, cells in rows:
        values = {
            name: cells[column] if column < len(cells) else "" for name, column in columns.items()
        }
        checked = values[CHECKED].strip().lower()
        if checked in _NO:
            waiting += 1
        elif checked in _UNCLEAR:
            unclear += 1
        elif checked in _YES:
            yield _row(place, values, source)
        else:
            yield RowFault(
                place,
                f"{values[CHECKED]!r} under {CHECKED} is neither x nor unclear",
                f"write x where the text is right, unclear where nobody can say, {SKIP_FIX}",
            )
    if waiting or unclear:
        options.note(f"not imported: {counted(waiting, 'row')} not checked yet, {unclear} unclear")


def _row(place: str, values: dict[str, str], source: Path) -> SourceRow | RowFault:
    try:
        return table.row_of(
            place,
            {table.AUDIO: values["audio_filepath"], table.TEXT: values["text"]},
            source.parent,
        )
    except ValueError as wrong:
        return RowFault(place, str(wrong), f"correct the cell, {SKIP_FIX}")
