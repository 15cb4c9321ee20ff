"""Read plain texts beside recordings: each text is the transcript of the whole recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.data.importers.beside_audio import find_annotations, find_audio
from tasks.data.importers.source_rows import SKIP_FIX, Recording, RowFault, SourceRow, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.data.importers.source_rows import Found, ReadOptions

_ENDINGS = (".txt",)


def detect(source: Path) -> bool:
    """Return whether a text lies beside a recording of its name."""
    return any(map(_has_recording, find_annotations(source, _ENDINGS)))


def _has_recording(path: Path) -> bool:
    try:
        return bool(find_audio(path.parent, path.stem))
    except ValueError:
        return False


def read(source: Path, _: ReadOptions) -> Iterator[Found]:
    """Yield one row for each text.

    Raises:
        InputError: a text is not UTF-8.
    """
    for path in find_annotations(source, _ENDINGS):
        text = " ".join(" ".join(line.split()) for _, line in read_lines(path))
        try:
            recording = Recording(find_audio(path.parent, path.stem))
        except ValueError as wrong:
            yield RowFault(str(path), str(wrong), f"put it beside the text, {SKIP_FIX}")
            continue
        yield SourceRow(str(path), recording, text)
