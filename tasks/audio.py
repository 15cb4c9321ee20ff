"""Reading what a run must know about an audio file, in one pass over it."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import soundfile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BLOCK_FRAMES = 1 << 18
_READERS = 4


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What the header says and what decoding found.

    Attributes:
        sample_rate: Hz.
        channels: number of channels.
        frames: samples per channel that could be decoded.
        header_frames: samples per channel that the header promises.
        peak: largest absolute sample, 0 to 32768: 0 is digital silence.
        sha256: hash of the decoded 16-bit samples, so that the same recording under another name,
            or with other tags in its header, is recognised as the same.
    """

    sample_rate: int
    channels: int
    frames: int
    header_frames: int
    peak: int
    sha256: str

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The file could not be decoded; ``reason`` is the decoder's own word."""

    reason: str


def probe(path: Path) -> AudioFacts | Unreadable:
    """Decode a file once and describe it."""
    digest = hashlib.sha256()
    frames = 0
    peak = 0
    try:
        with soundfile.SoundFile(str(path)) as sound:
            rate, channels, promised = sound.samplerate, sound.channels, sound.frames
            digest.update(f"{rate} {channels}\n".encode())
            while len(block := sound.read(_BLOCK_FRAMES, dtype="int16")):
                frames += len(block)
                # abs() of -32768 overflows in 16 bits.
                peak = max(peak, int(block.max()), -int(block.min()))
                digest.update(block.tobytes())
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as wrong:
        return Unreadable(str(wrong))
    return AudioFacts(rate, channels, frames, promised, peak, digest.hexdigest())


def probe_all(paths: Sequence[Path]) -> list[AudioFacts | Unreadable]:
    """Probe files side by side; decoding and hashing release the interpreter's lock."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(probe, paths, chunksize=1))
