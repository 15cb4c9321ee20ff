"""Read WebVTT or SRT beside recordings, by webvtt-py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.data.importers.beside_audio import find_annotations, find_audio
from tasks.data.importers.source_rows import (
    SKIP_FIX,
    Recording,
    RowFault,
    SourceRow,
    needs_package,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.data.importers.source_rows import Found, ReadOptions

_ENDINGS = (".vtt", ".srt")
_TAG = re.compile(r"<[^>]*>")


def detect(source: Path) -> bool:
    """Return whether there are subtitles."""
    return bool(find_annotations(source, _ENDINGS))


def read(source: Path, _: ReadOptions) -> Iterator[Found]:
    """Yield one row for each caption; a voice span (``<v Name>``) is its voice.

    Raises:
        InputError: webvtt-py is not installed, or cannot read a file.
    """
    try:
        import webvtt  # noqa: PLC0415 - an optional package
    except ImportError as absent:
        raise needs_package("webvtt-py", "Reading subtitles") from absent
    for path in find_annotations(source, _ENDINGS):
        try:
            is_srt = path.suffix.lower() == ".srt"
            captions: Any = webvtt.from_srt(str(path)) if is_srt else webvtt.read(str(path))
        except Exception as wrong:
            raise InputError(
                f"{path}: webvtt-py cannot read it ({type(wrong).__name__}: {wrong}). "
                "Fix: export the subtitles again as WebVTT in UTF-8."
            ) from wrong
        try:
            recording = Recording(find_audio(path.parent, path.stem))
        except ValueError as wrong:
            yield RowFault(str(path), str(wrong), f"put it beside the subtitles, {SKIP_FIX}")
            continue
        for place, caption in enumerate(captions, start=1):
            text = " ".join(_TAG.sub("", caption.text).split())
            voice = getattr(caption, "voice", None)
            yield SourceRow(
                f"{path}: caption {place}",
                recording,
                text,
                start=float(caption.start_in_seconds) + _milliseconds(caption.start),
                end=float(caption.end_in_seconds) + _milliseconds(caption.end),
                fields={"voice_id": voice} if voice else {},
            )


def _milliseconds(stamp: str) -> float:
    """Return what webvtt-py's whole seconds leave out."""
    return int(stamp.rpartition(".")[2]) / 1000
