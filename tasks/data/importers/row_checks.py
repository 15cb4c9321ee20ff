"""Check a source's rows before anything is converted, and refuse the source with its faults."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.data import findings
from tasks.data.importers.audio_conversion import (
    Span,
    check_duration,
    check_order,
    frames_of,
    require_sound,
)
from tasks.data.importers.recording_reader import ConversionError, measure
from tasks.data.importers.source_rows import SKIP_FIX, RowFault, SourceRow
from tasks.data.row_schema import check_record
from tasks.data.term_checks import read_terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.data.importers.formats import SourceFormat
    from tasks.data.importers.import_settings import ImportSettings
    from tasks.data.importers.recording_reader import StatedLength
    from tasks.data.importers.source_rows import Recording
    from tasks.data.importers.staging import Staging

MOST_FAULTS = 1000
"""So many are gathered at most."""
_SHOWN_FAULTS = 20
# A lossy recording may decode to a little more than its header states.
_LOSSY_SLACK_S = 1.0
_MOST_NAMES = 20_000


def check_rows(source: Path, source_format: SourceFormat, settings: ImportSettings) -> int:
    """Return the number of the source's rows, of which none is faulty unless some may be left out.

    Raises:
        InputError: names all faults of the faulty rows.
    """
    total = sound = 0
    faults: list[RowFault] = []
    seen_files: set[Path] = set()
    lengths = _RowLengths()
    for found in source_format.read(source, settings.reading):
        total += 1
        of_row = [*_find_faults(found, seen_files), *lengths.find_faults(found)]
        sound += not of_row
        if len(faults) < MOST_FAULTS:
            faults += of_row
    if not sound and not faults:
        raise InputError(
            f"{source}: has no rows that {source_format.name} could read. "
            f"Fix: {source_format.without_rows}."
        )
    if faults and (not settings.leave_out or not sound):
        raise refusal(source, faults, rows=total - sound)
    return total


class _RowLengths:
    """Whether parts are in their recordings, and recordings as long as stated, by their headers.

    What no header tells is told when the recording is decoded.
    """

    def __init__(self) -> None:
        # Rows of one recording mostly follow each other.
        self._last: tuple[Recording, StatedLength | None] | None = None

    def find_faults(self, found: SourceRow | RowFault) -> Iterator[RowFault]:
        """Yield what is wrong with the times of a row."""
        if isinstance(found, RowFault) or (not found.is_span and found.duration is None):
            return
        try:
            self._check(found)
        except ConversionError as wrong:
            yield RowFault(found.place, wrong.problem, wrong.fix)

    def _check(self, row: SourceRow) -> None:
        span = Span(row.start, row.end)
        check_order(span)
        if not os.path.isfile(row.recording.path):  # noqa: PTH113 - a name that is too long is no file
            return  # told already
        if row.recording.read is not None and not row.is_span:
            return  # a member is read when it is converted
        length = self._length_of(row.recording)
        if length is None:
            return
        if not row.is_span:
            check_duration(length.frames / length.rate, row.duration)
            return
        slack = 0 if length.is_exact else round(_LOSSY_SLACK_S * length.rate)
        _, frames = frames_of(span, length.rate, length.frames + slack)
        require_sound(frames, length.rate)

    def _length_of(self, recording: Recording) -> StatedLength | None:
        if self._last is None or self._last[0] != recording:
            self._last = None  # a header that is wrong is told for each row
            self._last = (recording, measure(recording))
        return self._last[1]


def refusal(
    source: Path,
    faults: Sequence[RowFault],
    place: Staging | None = None,
    *,
    rows: int | None = None,
) -> InputError:
    """Return the error that names a source's faulty rows, and where its other rows are kept.

    Args:
        source: that was read.
        faults: of its rows.
        place: where its other rows are kept; None where none are.
        rows: that are faulty; None where each has one fault here.
    """
    count = len(faults) if rows is None else rows
    shown = "\n".join(f"  {fault}" for fault in faults[:_SHOWN_FAULTS])
    more = len(faults) - _SHOWN_FAULTS
    least = "at least " if rows is None and len(faults) >= MOST_FAULTS else ""
    return InputError(
        f"{source}: {least}{count} row{'s' * (count != 1)} cannot be imported\n{shown}"
        + (f"\n  … and {more} more" if more > 0 else "")
        + (
            f"\nThe other rows are kept in {place.folder}: the same import goes on from there."
            if place is not None
            else ""
        )
    )


def find_fault(found: SourceRow | RowFault, seen_files: set[Path]) -> RowFault | None:
    """Return the first thing that is wrong with a row before its recording is opened."""
    return next(_find_faults(found, seen_files), None)


def _find_faults(found: SourceRow | RowFault, seen_files: set[Path]) -> Iterator[RowFault]:
    """Yield what is wrong with a row before its recording is opened."""
    if isinstance(found, RowFault):
        yield found
        return
    path = found.recording.path
    if path not in seen_files:
        if not os.path.isfile(path):  # noqa: PTH113 - a name that is too long is no file
            yield _absent(found.place, path)
        elif len(seen_files) < MOST_FAULTS:  # shards and long recordings; memory stays flat
            seen_files.add(path)
    record = {**make_record(found), "audio_filepath": "audio"}
    for finding in check_record(1, record):
        if finding.severity is findings.Severity.ERROR:
            value = f" ({finding.value[:120]!r})" if finding.value else ""
            yield RowFault(found.place, f"{finding.problem}{value}", f"{finding.fix}, {SKIP_FIX}")


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
