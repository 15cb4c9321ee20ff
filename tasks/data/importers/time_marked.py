"""Read NIST's STM (utterances) and CTM (words) beside their recordings.

Both are a few columns between blanks. The libraries that read them keep no line numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.data.importers.beside_audio import find_annotations, find_audio
from tasks.data.importers.source_rows import (
    SKIP_FIX,
    Recording,
    RowFault,
    SourceRow,
    number,
    read_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.data.importers.source_rows import Found, ReadOptions

_COMMENT = ";;"
_IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
_STM_COLUMNS, _CTM_COLUMNS = 5, 5
_LETTERS = {"A": 0, "B": 1}


def detect_stm(source: Path) -> bool:
    """Return whether there are STM files."""
    return bool(find_annotations(source, (".stm",)))


def detect_ctm(source: Path) -> bool:
    """Return whether there are CTM files."""
    return bool(find_annotations(source, (".ctm",)))


def read_stm(source: Path, _: ReadOptions) -> Iterator[Found]:
    """Yield the utterances of STM files; segments that scoring ignores are left out."""
    for path in find_annotations(source, (".stm",)):
        for line_number, line in read_lines(path):
            place = f"{path}:{line_number}"
            if line.lstrip().startswith(_COMMENT):
                continue
            parts = line.split(maxsplit=_STM_COLUMNS)
            try:
                if len(parts) < _STM_COLUMNS:
                    raise ValueError("needs recording, channel, speaker, begin and end")  # noqa: TRY301
                name, channel, speaker, begin, end = parts[:_STM_COLUMNS]
                text = parts[_STM_COLUMNS] if len(parts) > _STM_COLUMNS else ""
                if text.startswith("<"):  # a label such as <o,f0,male>
                    text = text.partition(">")[2]
                if text.strip() == _IGNORED:
                    continue
                recording, channel_number = _recording(path, name, channel)
                yield SourceRow(
                    place,
                    recording,
                    text.strip(),
                    start=_seconds(begin),
                    end=_seconds(end),
                    channel=channel_number,
                    fields={"voice_id": speaker},
                )
            except ValueError as wrong:
                yield RowFault(place, str(wrong), f"correct the line, {SKIP_FIX}")


@dataclass(frozen=True, slots=True)
class _TimedWord:
    """A word of a CTM."""

    place: str
    name: str
    channel: str
    start: float
    end: float
    text: str


def read_ctm(source: Path, options: ReadOptions) -> Iterator[Found]:
    """Yield rows of a CTM's words; a pause as long as ``options.pause`` ends a row.

    A row begins and ends in the middle of the pauses around it, or half of ``options.pause`` away.
    """
    for path in find_annotations(source, (".ctm",)):
        words: list[_TimedWord] = []
        for line_number, line in read_lines(path):
            place = f"{path}:{line_number}"
            if line.lstrip().startswith(_COMMENT):
                continue
            parts = line.split()
            try:
                if len(parts) < _CTM_COLUMNS:
                    raise ValueError("needs recording, channel, begin, duration and word")  # noqa: TRY301
                begin, duration = _seconds(parts[2]), _seconds(parts[3])
            except ValueError as wrong:
                yield RowFault(place, str(wrong), f"correct the line, {SKIP_FIX}")
                continue
            word = _TimedWord(place, parts[0], parts[1], begin, begin + duration, parts[4])
            if words and (word.name, word.channel) != (words[-1].name, words[-1].channel):
                yield from _rows(path, words, options.pause)
                words = []
            words.append(word)
        if words:
            yield from _rows(path, words, options.pause)


def _rows(path: Path, words: list[_TimedWord], pause: float) -> Iterator[Found]:
    """Yield the rows of one recording's words."""
    try:
        recording, channel = _recording(path, words[0].name, words[0].channel)
    except ValueError as wrong:
        yield RowFault(words[0].place, str(wrong), f"put it beside the CTM, {SKIP_FIX}")
        return
    groups: list[list[_TimedWord]] = []
    for word in sorted(words, key=lambda found: found.start):
        if not groups or word.start - groups[-1][-1].end >= pause:
            groups.append([])
        groups[-1].append(word)
    for place, group in enumerate(groups):
        before = groups[place - 1][-1].end if place else 0.0
        first, last = group[0].start, group[-1].end
        after = groups[place + 1][0].start if place + 1 < len(groups) else last
        yield SourceRow(
            group[0].place,
            recording,
            " ".join(word.text for word in group),
            start=max(first - pause / 2, (before + first) / 2 if place else 0.0, 0.0),
            end=min(last + pause / 2, (last + after) / 2),
            channel=channel,
        )


def _recording(path: Path, name: str, channel: str) -> tuple[Recording, int | None]:
    """Return a recording and its channel counted from 0: 1 and A are the first."""
    number_of = _LETTERS.get(channel.upper())
    if number_of is None:
        if not channel.isdigit():
            raise ValueError(f"channel {channel!r} is neither a number nor A or B")
        number_of = max(int(channel) - 1, 0)
    return Recording(find_audio(path.parent, name)), number_of


def _seconds(value: str) -> float:
    seconds = number(value)
    if seconds is None or seconds < 0:
        raise ValueError(f"{value!r} is no time in seconds")
    return seconds
