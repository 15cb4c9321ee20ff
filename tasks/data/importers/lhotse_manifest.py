"""Read Lhotse cuts, or recordings with supervisions, by lhotse itself."""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.data.importers.source_rows import (
    SKIP_FIX,
    Recording,
    RowFault,
    SourceRow,
    needs_package,
    recording_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.data.importers.source_rows import Found, ReadOptions

_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".yaml", ".yaml.gz")
_OWN = frozenset(("audio_filepath", "text", "duration", "offset"))


def _files(source: Path, kind: str) -> list[Path]:
    return sorted(
        path
        for path in source.iterdir()
        if kind in path.name and path.name.endswith(_ENDINGS) and path.is_file()
    )


def detect(source: Path) -> bool:
    """Return whether a file's first line is a cut, or a folder holds supervisions or cuts."""
    if source.is_dir():
        files = [*_files(source, "cuts"), *_files(source, "supervisions")]
        return any(_kind(path) in {"cut", "supervision"} for path in files)
    return source.name.endswith(_ENDINGS) and _kind(source) in {"cut", "supervision"}


def _kind(path: Path) -> str | None:
    """Return what a JSON lines manifest holds, by its first line."""
    try:
        with path.open("rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            first = json.loads(stream.readline())
    except (OSError, ValueError):
        return None
    if not isinstance(first, dict):
        return None
    if str(first.get("type", "")).endswith("Cut"):
        return "cut"
    if {"recording_id", "start", "duration", "id"} <= first.keys():
        return "supervision"
    return None


def read(source: Path, _: ReadOptions) -> Iterator[Found]:
    """Yield one row for each supervision.

    Raises:
        InputError: lhotse is not installed, cannot read it, or recordings are not beside it.
    """
    try:
        import lhotse  # noqa: PLC0415 - an optional package
    except ImportError as absent:
        raise needs_package("lhotse", "Reading Lhotse manifests") from absent
    try:
        if source.is_file() and _kind(source) == "cut":
            yield from _read_cuts(lhotse, [source])
        elif source.is_dir() and (cuts := _files(source, "cuts")):
            yield from _read_cuts(lhotse, cuts)
        else:
            yield from _read_supervisions(lhotse, source)
    except (ValueError, KeyError, TypeError, AssertionError, OSError) as wrong:
        raise InputError(
            f"{source}: lhotse cannot read it ({type(wrong).__name__}: {wrong}). "
            "Fix: `lhotse validate` names what is wrong with it."
        ) from wrong


def _read_cuts(lhotse: Any, paths: list[Path]) -> Iterator[Found]:  # noqa: ANN401 - a module
    for path in paths:
        for place, cut in enumerate(lhotse.CutSet.from_file(path), start=1):
            yield from _rows_of_cut(f"{path}: cut {place} ({cut.id})", cut, path.parent)


def _read_supervisions(lhotse: Any, source: Path) -> Iterator[Found]:  # noqa: ANN401 - a module
    folder = source if source.is_dir() else source.parent
    recordings = {}
    for path in _files(folder, "recordings"):
        recordings.update({found.id: found for found in lhotse.RecordingSet.from_file(path)})
    if not recordings:
        raise InputError(
            f"{folder}: holds supervisions and no recordings manifest. "
            "Fix: put recordings.jsonl.gz beside the supervisions, or import cuts."
        )
    for path in _files(source, "supervisions") if source.is_dir() else [source]:
        for place, found in enumerate(lhotse.SupervisionSet.from_file(path), start=1):
            where = f"{path}: supervision {place} ({found.id})"
            if found.recording_id not in recordings:
                yield RowFault(
                    where,
                    f"its recording {found.recording_id!r} is in no recordings manifest",
                    f"add the recording, {SKIP_FIX}",
                )
                continue
            yield _row(where, found, recordings[found.recording_id], folder, 0.0, None)


def _rows_of_cut(place: str, cut: Any, folder: Path) -> Iterator[Found]:  # noqa: ANN401 - lhotse's
    if type(cut).__name__ != "MonoCut" and type(cut).__name__ != "MultiCut":
        yield RowFault(
            place,
            f"is a {type(cut).__name__}, whose sound is mixed as it is read",
            f"save the sound first (cut.save_audio), {SKIP_FIX}",
        )
        return
    if not cut.has_recording:
        yield RowFault(place, "has no recording", f"import cuts with recordings, {SKIP_FIX}")
        return
    if not cut.supervisions:
        yield RowFault(place, "has no supervision", f"give it one with a text, {SKIP_FIX}")
        return
    named = cut.channel if isinstance(cut.channel, int) else None
    for supervision in cut.supervisions:
        yield _row(place, supervision, cut.recording, folder, cut.start, cut, named)


def _row(
    place: str,
    supervision: Any,  # noqa: ANN401 - lhotse's
    recording: Any,  # noqa: ANN401 - lhotse's
    folder: Path,
    shift: float,
    cut: Any,  # noqa: ANN401 - lhotse's
    named: int | None = None,
) -> Found:
    """Return the row of a supervision; one that spans its cut is cut where the cut is."""
    if getattr(recording, "transforms", None):
        return RowFault(
            place,
            f"its recording {recording.id!r} is transformed as it is read",
            f"save the sound first (recording.to_cut().save_audio), {SKIP_FIX}",
        )
    if len(recording.sources) != 1:
        return RowFault(
            place,
            f"its recording {recording.id!r} is in {len(recording.sources)} files",
            f"save it as one file, {SKIP_FIX}",
        )
    try:
        found = _recording(recording.sources[0], recording.id, folder)
    except ValueError as wrong:
        return RowFault(place, str(wrong), f"save the sound into files, {SKIP_FIX}")
    start, end = shift + supervision.start, shift + supervision.start + supervision.duration
    if cut is not None:
        start, end = max(start, cut.start), min(end, cut.start + cut.duration)
    is_whole = start == 0 and abs(end - recording.duration) * recording.sampling_rate < 1
    channel = supervision.channel if isinstance(supervision.channel, int) else named
    if recording.num_channels == 1:
        channel = None
    custom = supervision.custom or {}
    fields = {
        name: value
        for name, value in custom.items()
        if name not in _OWN and isinstance(value, str | int | float | list)
    }
    if supervision.speaker is not None:
        fields["voice_id"] = supervision.speaker
    return SourceRow(
        place,
        found,
        (supervision.text or "").strip(),
        start=0.0 if is_whole else start,
        end=None if is_whole else end,
        channel=channel,
        fields=fields,
    )


def _recording(source: Any, name: str, folder: Path) -> Recording:  # noqa: ANN401 - lhotse's
    if source.type == "file":
        path = Path(source.source)
        return Recording(path) if path.is_file() else recording_at(folder, str(source.source))
    if source.type == "memory":
        # The manifest itself holds the bytes.
        return Recording(folder, name, partial(bytes, source.source))
    raise ValueError(f"its recording is a {source.type}, and only files are read")
