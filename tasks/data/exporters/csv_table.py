"""Write a CSV table whose columns have the manifest's names."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.data.exporters.exported_row import ExportedRow


def write(folder: Path, _: Path, rows: Sequence[ExportedRow]) -> None:
    """Write ``manifest.csv``; a field that is no text or number is written as JSON."""
    names = list(dict.fromkeys(name for row in rows for name in row.fields()))
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["audio_filepath", "text", "duration", *names])
        for row in rows:
            fields = row.fields()
            cells = [_cell(fields.get(name)) for name in names]
            writer.writerow([row.audio, row.utterance.text, round(row.seconds, 3), *cells])


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
