"""Read ELAN annotations (EAF) beside their recordings, by pympi."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

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

    from tasks.data.importers.source_rows import Found, ReadOptions

_ENDINGS = (".eaf",)


def detect(source: Path) -> bool:
    """Return whether there are EAF files."""
    return bool(find_annotations(source, _ENDINGS))


def read(source: Path, options: ReadOptions) -> Iterator[Found]:
    """Yield one row for each annotation of a tier that has times of its own.

    A tier's participant is its voice, or else its name.

    Raises:
        InputError: pympi is not installed, an EAF cannot be read, or a tier is not there.
    """
    try:
        from pympi import Elan  # noqa: PLC0415 - an optional package
    except ImportError as absent:
        raise needs_package("pympi-ling", "Reading ELAN annotations") from absent
    for path in find_annotations(source, _ENDINGS):
        try:
            elan = Elan.Eaf(str(path))
        except Exception as wrong:
            raise InputError(
                f"{path}: pympi cannot read it ({type(wrong).__name__}: {wrong}). "
                "Fix: open it in ELAN and save it again."
            ) from wrong
        timed = [name for name, tier in elan.tiers.items() if tier[0]]
        if missing := [name for name in options.tiers if name not in timed]:
            raise InputError(
                f"{path}: has no tier with times {', '.join(missing)}. "
                f"Fix: --tier with one of {', '.join(timed)}."
            )
        try:
            recording = Recording(_linked(path, elan) or find_audio(path.parent, path.stem))
        except ValueError as wrong:
            yield RowFault(str(path), str(wrong), f"put it beside the EAF, {SKIP_FIX}")
            continue
        for name in options.tiers or timed:
            voice = elan.tiers[name][2].get("PARTICIPANT") or name
            yield from _read_tier(f"{path}: tier {name}", recording, elan, name, voice)


def _read_tier(
    where: str,
    recording: Recording,
    elan: Any,  # noqa: ANN401 - pympi's
    name: str,
    voice: str,
) -> Iterator[Found]:
    """Yield the annotations of a tier in the order of their times.

    pympi's own method ends with an error where an annotation has no time, as ELAN allows.
    """
    timed: list[tuple[int, int, str]] = []
    for annotation, (begin, end, text, *_) in elan.tiers[name][0].items():
        times = elan.timeslots.get(begin), elan.timeslots.get(end)
        if None in times:
            if text.strip():
                yield RowFault(
                    f"{where}, annotation {annotation}",
                    f"{text.strip()!r} has no time",
                    f"align it in ELAN, {SKIP_FIX}",
                )
            continue
        timed.append((*times, text.strip()))
    for place, (start_ms, end_ms, text) in enumerate(sorted(timed), start=1):
        if not text:
            continue  # an empty annotation marks a silence
        yield SourceRow(
            f"{where}, annotation {place}",
            recording,
            text,
            start=start_ms / 1000,
            end=end_ms / 1000,
            fields={"voice_id": voice},
        )


def _linked(path: Path, elan: Any) -> Path | None:  # noqa: ANN401 - pympi's
    """Return the recording that an EAF links, where it is beside the EAF."""
    for descriptor in elan.media_descriptors:
        for key in ("RELATIVE_MEDIA_URL", "MEDIA_URL"):
            name = PurePosixPath(unquote(descriptor.get(key) or "")).name
            if name and (path.parent / name).is_file():
                return path.parent / name
    return None
