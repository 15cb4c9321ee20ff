"""Read a NeMo manifest: whole recordings, segments by offset and duration, and tarred sets."""

from __future__ import annotations

import json
import re
import tarfile
from functools import partial
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.data.importers.source_rows import (
    SKIP_FIX,
    Recording,
    RowFault,
    SourceRow,
    number,
    read_lines,
    recording_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tasks.data.importers.source_rows import Found, ReadOptions

_ENDINGS = (".jsonl", ".json", ".manifest")
_NAMES = ("manifest.jsonl", "manifest.json", "tarred_audio_manifest.json")
# How NeMo's converter names shards, and the part of a name that numbers them.
_SHARD = re.compile(r"audio_(\d+)\.tar")
_OWN = frozenset(("audio_filepath", "text", "duration", "offset", "shard_id", "channel"))


def _manifest_of(source: Path) -> Path | None:
    if source.is_dir():
        return next((source / name for name in _NAMES if (source / name).is_file()), None)
    return source


def detect(source: Path) -> bool:
    """Return whether the first line is an object that names an audio file."""
    path = _manifest_of(source)
    if path is None or path.suffix.lower() not in _ENDINGS:
        return False
    try:
        with path.open(encoding="utf-8-sig") as stream:
            first = json.loads(stream.readline())
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and "audio_filepath" in first


def read(source: Path, _: ReadOptions) -> Iterator[Found]:
    """Yield the rows of a manifest; those of a tarred set are members of ``audio_<shard>.tar``.

    Raises:
        InputError: there is no manifest, or it is not UTF-8.
    """
    path = _manifest_of(source)
    if path is None:
        raise InputError(f"{source}: holds none of {', '.join(_NAMES)}. Fix: name the manifest.")
    shards = {
        int(match.group(1)): shard
        for shard in sorted(path.parent.rglob("*.tar"))
        if (match := _SHARD.fullmatch(shard.name))
    }
    for line_number, line in read_lines(path):
        place = f"{path}:{line_number}"
        try:
            record = json.loads(line)
        except ValueError as wrong:
            yield RowFault(place, f"not JSON ({wrong})", "write one JSON object a line")
            continue
        if not isinstance(record, dict):
            yield RowFault(place, "not a JSON object", 'write {"audio_filepath": …, "text": …}')
            continue
        try:
            yield _row(place, record, path.parent, shards)
        except ValueError as wrong:
            yield RowFault(place, str(wrong), f"correct the line, {SKIP_FIX}")


def _row(
    place: str, record: Mapping[str, Any], folder: Path, shards: Mapping[int, Path]
) -> SourceRow:
    name = record.get("audio_filepath")
    if not isinstance(name, str) or not name.strip():
        raise ValueError("audio_filepath is missing or no text")
    text = record.get("text")
    if not isinstance(text, str):
        raise ValueError(  # noqa: TRY004 - every fault of a row is one kind of error
            "text is missing or no text (a manifest's text_filepath is not read)"
        )
    if record.get("shard_id") is not None:
        recording = _member(int(record["shard_id"]), name, shards)
    else:
        recording = recording_at(folder, name)
    duration, offset = number(record.get("duration")), number(record.get("offset"))
    channel = record.get("channel")
    if channel is not None and (isinstance(channel, bool) or not isinstance(channel, int)):
        raise ValueError(f"channel {channel!r} is no whole number")
    if offset is not None and offset < 0:
        raise ValueError(f"offset {offset:g} is negative")
    if offset == 0 and (recording.member is not None or duration is None):
        # A tarred set's members are cut already; from 0 to the end is the whole.
        offset = None
    return SourceRow(
        place,
        recording,
        text.strip(),
        start=offset or 0.0,
        end=None if offset is None or duration is None else offset + duration,
        duration=duration if offset is None else None,
        channel=channel,
        fields={name: value for name, value in record.items() if name not in _OWN},
    )


def _member(shard: int, name: str, shards: Mapping[int, Path]) -> Recording:
    if shard not in shards:
        raise ValueError(f"there is no audio_{shard}.tar beside the manifest (shard_id {shard})")
    path = shards[shard]
    return Recording(path, name, partial(_read_member, path, name))


def _read_member(path: Path, name: str) -> bytes:
    with tarfile.open(path) as archive:
        try:
            stream = archive.extractfile(name)
        except KeyError:
            stream = None
        if stream is None:
            raise FileNotFoundError(2, "the shard holds no such member", name)
        return stream.read()
