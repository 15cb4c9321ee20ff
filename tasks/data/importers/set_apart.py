"""Write the rows that an import sets apart, as a labelling sheet for a person who hears them.

`asr-flywheel import` takes it back as another cycle: tasks/data/importers/labelling_sheet.py.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.data.importers.import_settings import SCORE
from tasks.data.importers.labelling_sheet import CHECKED, HYPOTHESIS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_COLUMNS = (
    *("audio_filepath", CHECKED, "text", HYPOTHESIS),
    *(SCORE, "seconds", "voice_id", "source_place"),
)


def write_set_apart(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Write rows of an import's journal, the lowest score first.

    Args:
        path: of the sheet; recordings are named relative to its folder.
        entries: of the journal.
    """
    table = io.StringIO()
    table.write("\ufeff")  # without it, a spreadsheet may take UTF-8 for something else
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entry in sorted(entries, key=lambda entry: (entry["record"][SCORE], entry["number"])):
        record = entry["record"]
        writer.writerow(
            [
                *(record["audio_filepath"], "", record["text"], record["text"]),
                *(record[SCORE], record["duration"], record.get("voice_id", ""), entry["place"]),
            ]
        )
    atomic_files.write_text(path, table.getvalue())
