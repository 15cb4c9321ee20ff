"""Recordings small enough to travel inside a page: MP3 as data URIs, within a limit for all."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import soundfile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LONGEST_S = 30.0
MOST_BYTES = 1_500_000
"""Of all recordings of a page together, encoded, where the page sets no other limit."""
_COMPRESSION = 0.9


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording for the page; without ``uri`` it was left out, and ``why`` tells the reason."""

    uri: str = ""
    seconds: float = 0.0
    why: str = ""


def clips(paths: Sequence[Path], most_bytes: int | None = None, used: int = 0) -> list[Clip]:
    """Pack recordings in their order until the page's limit is reached.

    Args:
        paths: of the recordings.
        most_bytes: of all recordings of the page, encoded; None for the report's limit.
        used: bytes of the recordings that the page has already.
    """
    packed: list[Clip] = []
    total_bytes = used
    limit = MOST_BYTES if most_bytes is None else most_bytes
    for path in paths:
        clip = _pack(path)
        if total_bytes + len(clip.uri) > limit:
            clip = Clip(why="left out: the page's limit for audio is reached")
        total_bytes += len(clip.uri)
        packed.append(clip)
    return packed


def _pack(path: Path) -> Clip:
    try:
        with soundfile.SoundFile(path) as sound:
            seconds = sound.frames / sound.samplerate
            if seconds > LONGEST_S:
                return Clip(why=f"left out: {seconds:.0f} s long")
            samples, rate = sound.read(dtype="float32"), sound.samplerate
        packed = io.BytesIO()
        soundfile.write(
            packed,
            samples,
            rate,
            format="MP3",
            subtype="MPEG_LAYER_III",
            compression_level=_COMPRESSION,
        )
    except (soundfile.SoundFileError, OSError, ValueError, TypeError):
        return Clip(why="left out: the recording is not there or cannot be read")
    data = base64.b64encode(packed.getvalue()).decode("ascii")
    return Clip(f"data:audio/mpeg;base64,{data}", seconds)
