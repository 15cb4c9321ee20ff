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
_ARROW = "-->"
_STAMP = r"(?:\d+:)?\d{1,2}:\d{1,2}[.,]\d{1,3}"
_TIMES = re.compile(rf"\s*{_STAMP}\s*{_ARROW}\s*{_STAMP}(?!\d)")
_EXAMPLE = "00:00:01.000 --> 00:00:02.500"


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
        yield from _find_lost(path, len(captions), is_srt=is_srt)
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


def _find_lost(path: Path, read: int, *, is_srt: bool) -> Iterator[RowFault]:
    """Yield the captions that webvtt-py passed over without a word.

    Raises:
        InputError: it passed over some, and nothing is seen to be wrong with any.
    """
    times = [(number, before, line) for number, before, line in _time_lines(path)]
    if len(times) == read:
        return
    lost = 0
    for number, before, line in times:
        problem = ""
        if not _TIMES.match(line):
            problem = f"{line.strip()!r} is no time of a caption, such as {_EXAMPLE}"
        elif is_srt and not before.strip().isdigit():
            problem = "the caption has no number in the line before its time"
        if problem:
            lost += 1
            yield RowFault(f"{path}:{number}", problem, f"correct the line, {SKIP_FIX}")
    if not lost:
        raise InputError(
            f"{path}: webvtt-py reads {read} captions, and {len(times)} lines have times. "
            "Fix: put an empty line between captions, and export the file again."
        )


def _time_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield number, line before and line of each line with an arrow that is no comment's."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    is_comment = False
    for number, line in enumerate(lines, start=1):
        before = lines[number - 2] if number > 1 else ""
        if not before.strip():
            is_comment = line.startswith("NOTE")
        if _ARROW in line and not is_comment:
            yield number, before, line


def _milliseconds(stamp: str) -> float:
    """Return what webvtt-py's whole seconds leave out."""
    return int(stamp.rpartition(".")[2]) / 1000
