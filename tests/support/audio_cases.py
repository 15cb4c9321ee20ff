"""Recordings that a test writes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.audio_probe import Samples

RATE = factories.RATE
HOLD_16_BITS = {
    "WAV of 16 bits": ("WAV", "PCM_16"),
    "WAV of 24 bits": ("WAV", "PCM_24"),
    "WAV of 32 bits": ("WAV", "PCM_32"),
    "WAV of floats": ("WAV", "FLOAT"),
    "WAV of doubles": ("WAV", "DOUBLE"),
    "FLAC of 16 bits": ("FLAC", "PCM_16"),
    "FLAC of 24 bits": ("FLAC", "PCM_24"),
    "AIFF of floats": ("AIFF", "FLOAT"),
}
"""Kinds of files that lose nothing of 16-bit samples: format and subtype as libsndfile has them."""


def loud(seconds: float = 0.5) -> Samples:
    """Noise that reaches both ends of the range."""
    made = np.random.default_rng(3).integers(-32768, 32768, round(seconds * RATE), dtype=np.int16)
    made[:2] = (-32768, 32767)
    return made


def write(path: Path, wave: Any, subtype: str = "FLOAT", kind: str = "WAV") -> Path:
    """A file of samples between -1 and 1."""
    soundfile.write(path, wave, RATE, subtype=subtype, format=kind)
    return path
