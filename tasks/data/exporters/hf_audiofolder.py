"""Write an audio folder of Hugging Face's datasets: metadata.jsonl beside the recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common import atomic_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.data.exporters.exported_row import ExportedRow


def write(folder: Path, _: Path, rows: Sequence[ExportedRow]) -> None:
    """Write ``metadata.jsonl``; every row has every field, as datasets wants it."""
    names = list(dict.fromkeys(name for row in rows for name in row.fields()))
    atomic_files.write_jsonl(
        folder / "metadata.jsonl",
        (
            {
                "file_name": row.audio,
                "text": row.utterance.text,
                **{name: row.fields().get(name) for name in names},
            }
            for row in rows
        ),
    )
