"""Find the pauses between the words of a recording by its level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Floats = np.ndarray[Any, np.dtype[np.float32]]

LEVEL_S = 0.01
"""Seconds of a frame whose level is taken."""
_BLOCK_FRAMES = 1 << 20
_FLOOR_DB = -90.0
# A pause is this far under speech, and this far over the recording's own noise at least.
_UNDER_SPEECH_DB = 30.0
_OVER_NOISE_DB = 6.0
_NEAR_SPEECH_DB = 10.0
_SHORTEST_PAUSE_S = 0.03


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch without speech, in seconds from the recording's begin."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


def read_levels(path: Path) -> Floats:
    """Return the level of each hundredth of a second in dB of full scale.

    Args:
        path: a recording of one channel.
    """
    levels: list[Floats] = []
    with soundfile.SoundFile(path) as audio:
        size = max(1, round(audio.samplerate * LEVEL_S))
        while len(block := audio.read(_BLOCK_FRAMES // size * size, dtype="float32")):
            whole = np.pad(block, (0, -len(block) % size)).reshape(-1, size)
            power = np.square(whole).mean(axis=1)
            levels.append((10 * np.log10(np.maximum(power, 1e-9))).astype(np.float32))
    return np.concatenate(levels) if levels else np.zeros(0, dtype=np.float32)


def find_quiet(levels: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which hundredths of a second hold no speech.

    The limit is 30 dB under the level of speech, or a little over the noise where that is louder.
    """
    if not len(levels):
        return np.zeros(0, dtype=bool)
    noise, speech = (float(level) for level in np.percentile(levels, [5, 90]))
    limit = max(noise + _OVER_NOISE_DB, speech - _UNDER_SPEECH_DB, _FLOOR_DB + 1)
    quiet: np.ndarray[Any, np.dtype[np.bool_]] = levels < min(limit, speech - _NEAR_SPEECH_DB)
    return quiet


def pauses_between(quiet: Sequence[bool] | Any, start: float, end: float) -> list[Pause]:  # noqa: ANN401
    """Return the pauses within a stretch, which may be cut short by its ends.

    Args:
        quiet: as ``find_quiet`` returns it.
        start: seconds.
        end: seconds.
    """
    first, last = max(0, round(start / LEVEL_S)), min(len(quiet), round(end / LEVEL_S))
    if last <= first:
        return []
    padded = np.concatenate(([False], np.asarray(quiet[first:last], dtype=bool), [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2) + first
    return [
        Pause(round(a * LEVEL_S, 3), round(b * LEVEL_S, 3))
        for a, b in edges.tolist()
        if (b - a) * LEVEL_S >= _SHORTEST_PAUSE_S
    ]
