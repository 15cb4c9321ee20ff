"""Check a source's rows before anything is converted, and refuse the source with its faults."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.data import findings
from tasks.data.importers.source_rows import SKIP_FIX, RowFault, SourceRow
from tasks.data.row_schema import check_record
from tasks.data.term_checks import read_terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.importers.formats import SourceFormat
    from tasks.data.importers.import_settings import ImportSettings
    from tasks.data.importers.staging import Staging

MOST_FAULTS = 1000
"""So many are gathered at most."""
_SHOWN_FAULTS = 20
_MOST_NAMES = 20_000


def check_rows(source: Path, source_format: SourceFormat, settings: ImportSettings) -> int:
    """Return the number of the source's rows, of which none is faulty unless some may be left out.

    Raises:
        InputError: names faulty rows.
    """
    total = sound = 0
    faults: list[RowFault] = []
    seen_files: set[Path] = set()
    for found in source_format.read(source, settings.reading):
        total += 1
        fault = find_fault(found, seen_files)
        if fault is None:
            sound += 1
        elif len(faults) < MOST_FAULTS:
            faults.append(fault)
    if not sound and not faults:
        raise InputError(
            f"{source}: has no rows that {source_format.name} could read. "
            "Fix: name the right file or folder, or another --format."
        )
    if faults and (not settings.leave_out or not sound):
        raise refusal(source, faults)
    return total


def refusal(source: Path, faults: Sequence[RowFault], place: Staging | None = None) -> InputError:
    """Return the error that names a source's faulty rows, and where its other rows are kept."""
    shown = "\n".join(f"  {fault}" for fault in faults[:_SHOWN_FAULTS])
    more = len(faults) - _SHOWN_FAULTS
    least = "at least " if len(faults) >= MOST_FAULTS else ""
    rows = "row" if len(faults) == 1 else "rows"
    return InputError(
        f"{source}: {least}{len(faults)} {rows} cannot be imported\n{shown}"
        + (f"\n  … and {more} more" if more > 0 else "")
        + (
            f"\nThe other rows are kept in {place.folder}: the same import goes on from there."
            if place is not None
            else ""
        )
    )


def find_fault(found: SourceRow | RowFault, seen_files: set[Path]) -> RowFault | None:
    """Return what is wrong with a row before its recording is opened."""
    if isinstance(found, RowFault):
        return found
    path = found.recording.path
    if path not in seen_files:
        if not os.path.isfile(path):  # noqa: PTH113 - a name that is too long is no file
            return _absent(found.place, path)
        if len(seen_files) < MOST_FAULTS:  # shards and long recordings; memory stays flat
            seen_files.add(path)
    record = {**make_record(found), "audio_filepath": "audio"}
    errors = [
        finding
        for finding in check_record(1, record)
        if finding.severity is findings.Severity.ERROR
    ]
    if errors:
        first = errors[0]
        value = f" ({first.value[:120]!r})" if first.value else ""
        return RowFault(found.place, f"{first.problem}{value}", f"{first.fix}, {SKIP_FIX}")
    return None


def _absent(place: str, path: Path) -> RowFault:
    """Return the fault of a recording that is not there, and where one of its name is."""
    problem = f"there is no recording {path}"
    below = _named_below(path.parent).get(path.name)
    if below is None:
        relative = "paths are relative to the folder of the file that names them"
        return RowFault(
            place, problem, f"put it there, or correct its name ({relative}), {SKIP_FIX}"
        )
    return RowFault(
        place,
        f"{problem}, and one of this name is {path.parent / below}",
        f"name it {str(below)!r} instead of {path.name!r} there, {SKIP_FIX}",
    )


@lru_cache(maxsize=8)
def _named_below(folder: Path) -> dict[str, Path]:
    """Return the files in folders of a folder by their names; of a large tree only a part."""
    named: dict[str, Path] = {}
    for root, _, names in os.walk(folder):
        if Path(root) != folder:
            for name in names:
                named.setdefault(name, (Path(root) / name).relative_to(folder))
        if len(named) > _MOST_NAMES:
            break
    return named


def make_record(row: SourceRow) -> dict[str, Any]:
    """Return a row's line of the manifest, without its recording and length."""
    record = {"audio_filepath": "", "text": row.text, "duration": None, **row.fields}
    read_terms(record)  # a table holds the list as text
    return record
