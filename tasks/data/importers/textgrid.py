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
