"""Read Praat TextGrids beside their recordings, by praatio."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

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

_ENDINGS = (".textgrid",)
# Of the long form, in which each number has its name.
_SIZE = re.compile(r"(?:intervals|points): *size *= *(\d+)")
_LABEL = re.compile(r"(?:intervals|points) *\[ *\d+ *\] *:")
_TIERS = re.compile(r"^size *= *(\d+)", re.MULTILINE)
_CLASS = re.compile(r"^\s*class *=", re.MULTILINE)
_EXISTS = "<exists>"
# Lines of a label in the short form.
_SHORT = {'"IntervalTier"': 3, '"TextTier"': 2}


def detect(source: Path) -> bool:
    """Return whether there are TextGrids."""
    return bool(find_annotations(source, _ENDINGS))


def read(source: Path, options: ReadOptions) -> Iterator[Found]:
    """Yield one row for each labelled interval; its tier, or its file, is its voice.

    Raises:
        InputError: praatio is not installed, or a tier is not there.
    """
    try:
        from praatio import textgrid  # noqa: PLC0415 - an optional package
    except ImportError as absent:
        raise needs_package("praatio", "Reading TextGrids") from absent
    files_of_tier: Counter[str] = Counter()
    for path in find_annotations(source, _ENDINGS):
        try:
            grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
        except Exception as wrong:
            raise InputError(
                f"{path}: praatio cannot read it ({type(wrong).__name__}: {wrong}). "
                "Fix: open it in Praat and save it again as a text file."
            ) from wrong
        _check_whole(path)
        tiers = [name for name in grid.tierNames if _is_interval(grid.getTier(name))]
        if missing := [name for name in options.tiers if name not in tiers]:
            raise InputError(
                f"{path}: has no tier of intervals {', '.join(missing)}. "
                f"Fix: --tier with one of {', '.join(tiers)}."
            )
        try:
            recording = Recording(find_audio(path.parent, path.stem, source))
        except ValueError as wrong:
            fix = f"put it beside the TextGrid or elsewhere in the folder, {SKIP_FIX}"
            yield RowFault(str(path), str(wrong), fix)
            continue
        files_of_tier.update(options.tiers or tiers)
        for name in options.tiers or tiers:
            for place, entry in enumerate(grid.getTier(name).entries, start=1):
                yield SourceRow(
                    f"{path}: tier {name}, label {place}",
                    recording,
                    entry.label.strip(),
                    start=float(entry.start),
                    end=float(entry.end),
                    fields=_voice(path, name, options),
                )
    if shared := [name for name, files in files_of_tier.items() if files > 1]:
        _note_shared(shared, options)


def _check_whole(path: Path) -> None:
    """Refuse a file that ends early: praatio reads what is there.

    Raises:
        InputError: it holds fewer tiers or labels than it says.
    """
    raw = path.read_bytes()
    is_wide = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = raw.decode("utf-16" if is_wide else "utf-8-sig", errors="replace")
    counts = _count_long(text) if _CLASS.search(text) else _count_short(text)
    for what, (said, there) in counts.items():
        if there < said:
            raise InputError(
                f"{path}: ends early: it says that it has {said} {what}, and {there} are there. "
                "Fix: copy it again, or open it in Praat and save it again."
            )


def _count_long(text: str) -> dict[str, tuple[int, int]]:
    """Return how many tiers and labels a TextGrid says it has, and how many are there."""
    tiers = _TIERS.search(text)
    return {
        "tiers": (int(tiers[1]) if tiers else 0, len(_CLASS.findall(text))),
        "labels": (sum(map(int, _SIZE.findall(text))), len(_LABEL.findall(text))),
    }


def _count_short(text: str) -> dict[str, tuple[int, int]]:
    """Return the same of the short form, in which numbers have no names.

    There a tier is its class, name, begin, end and number of labels, each label three lines, or
    two in a tier of points.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    exists = lines.index(_EXISTS) if _EXISTS in lines else len(lines)
    tiers = said = there = 0
    for place, line in enumerate(lines):
        if line not in _SHORT:
            continue
        tiers += 1
        count = _number(lines, place + 4)
        said += count
        there += min(count, max(0, len(lines) - place - 5) // _SHORT[line])
    return {"tiers": (_number(lines, exists + 1), tiers), "labels": (said, there)}


def _number(lines: list[str], place: int) -> int:
    return int(lines[place]) if place < len(lines) and lines[place].isdigit() else 0


def _voice(path: Path, tier: str, options: ReadOptions) -> dict[str, str]:
    """Return a row's voice, and its conversation where a voice has a file of its own."""
    if not options.voice_of_file:
        return {"voice_id": tier}
    ending = re.compile(rf"[_\- .]+{re.escape(tier)}$", re.IGNORECASE)
    conversation = ending.sub("", path.stem)
    voice = path.stem if conversation != path.stem else f"{path.stem}_{tier}"
    return {"voice_id": voice, "conversation_id": conversation}


def _note_shared(tiers: list[str], options: ReadOptions) -> None:
    """Say that tiers of one name were read as one voice."""
    if not options.voice_of_file:
        options.note(
            f"tiers: {', '.join(sorted(tiers))} stand in several files and are taken for one voice "
            "each; if they are roles and not persons, add --voice-id file"
        )


def _is_interval(tier: object) -> bool:
    return type(tier).__name__ == "IntervalTier"
