"""Recordings small enough to travel inside a page: MP3 as data URIs, within a limit for all."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import soundfile

from tasks.common import privacy_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LONGEST_S = 30.0
MOST_BYTES = 1_500_000
"""Of all recordings of a report together, encoded."""
ASK = "it is in a page where that is asked for (--audio)"
_COMPRESSION = 0.9


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording for the page; without ``uri`` it was left out, and ``why`` tells the reason."""

    uri: str = ""
    seconds: float = 0.0
    why: str = ""


def warn_of_content(recordings: int, rows: int) -> str:
    """Return the sentence at the top of a page about whose words and voices it holds.

    Args:
        recordings: in the page.
        rows: whose texts stand in it.
    """
    if not recordings and not rows:
        return ""
    texts = f"what was said in {rows} row{'' if rows == 1 else 's'}"
    if not recordings:
        return f"This page quotes {texts}. Give it only to people who may read that."
    sound = f"{recordings} recording{'' if recordings == 1 else 's'}"
    return (
        f"This page holds {sound} of people's voices, and {texts}. Give it only to people who may "
        "hear and read that; --no-audio makes it without the recordings."
    )


def clips(paths: Sequence[Path], most_bytes: int) -> list[Clip]:
    """Pack recordings in their order until they have so many bytes together, encoded."""
    if privacy_settings.hides_audio():
        why = "pages are made without sound here" if privacy_settings.forbids_audio() else ASK
        return [Clip(why=f"left out: {why}") for _ in paths]
    packed: list[Clip] = []
    total_bytes = 0
    for path in paths:
        clip = _pack(path)
        if total_bytes + len(clip.uri) > most_bytes:
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
