"""Recordings that a test writes itself."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

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


def write_extended_wave64(path: Path, samples: npt.NDArray[Any], rate: int = RATE) -> None:
    """Write floats as ffmpeg 5 does: what they are stands in the format chunk's extension."""
    riff, wave, fmt, data = (
        bytes.fromhex(text)
        for text in (
            "726966662e91cf11a5d628db04c10000",
            "77617665f3acd3118cd100c04f8edb8a",
            "666d7420f3acd3118cd100c04f8edb8a",
            "64617461f3acd3118cd100c04f8edb8a",
        )
    )
    floats = bytes.fromhex("0300000000001000800000aa00389b71")
    chunk = struct.pack("<HHIIHHHHI", 0xFFFE, 1, rate, 4 * rate, 4, 32, 22, 32, 4) + floats
    body = samples.astype("<f4").tobytes()
    format_chunk = fmt + struct.pack("<Q", 24 + len(chunk)) + chunk
    sound = data + struct.pack("<Q", 24 + len(body)) + body
    size = 40 + len(format_chunk) + len(sound)
    path.write_bytes(riff + struct.pack("<Q", size) + wave + format_chunk + sound)
