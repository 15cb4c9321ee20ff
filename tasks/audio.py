"""Reading what a run must know about an audio file, in one pass over it."""

from __future__ import annotations

import hashlib
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import soundfile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BLOCK_FRAMES = 1 << 18
_READERS = 4
# Format tags whose samples have a fixed size: PCM, float, and either in an extensible header.
_FIXED_SIZE_FORMATS = (1, 3, 0xFFFE)
# A writer into a pipe cannot know the size and leaves one of these; it promises nothing.
_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)


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
            promised = _wav_frames(path) or promised
            digest.update(f"{rate} {channels}\n".encode())
            while len(block := sound.read(_BLOCK_FRAMES, dtype="int16")):
                frames += len(block)
                # abs() of -32768 overflows in 16 bits.
                peak = max(peak, int(block.max()), -int(block.min()))
                digest.update(block.tobytes())
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as wrong:
        return Unreadable(str(wrong))
    return AudioFacts(rate, channels, frames, promised, peak, digest.hexdigest())


def _wav_frames(path: Path) -> int | None:
    """Samples per channel that a WAV header promises; None for another format.

    libsndfile corrects its own figure by the size of the file, so that it never tells that a WAV
    was cut short.
    """
    with path.open("rb") as stream:
        if struct.unpack("<4s4x4s", stream.read(12).ljust(12, b"\0")) != (b"RIFF", b"WAVE"):
            return None
        frame_bytes = 0
        while len(header := stream.read(8)) == 8:  # noqa: PLR2004 - a name and a size
            name, size = struct.unpack("<4sI", header)
            if name == b"data":
                known = frame_bytes and size not in _UNKNOWN_SIZES
                return int(size // frame_bytes) if known else None
            body = stream.read(size + size % 2)
            if name == b"fmt " and len(body) >= 14:  # noqa: PLR2004 - up to the frame's size
                tag, frame_bytes = struct.unpack_from("<H10xH", body)
                if tag not in _FIXED_SIZE_FORMATS:
                    return None
    return None


def probe_all(paths: Sequence[Path]) -> list[AudioFacts | Unreadable]:
    """Probe files side by side; decoding and hashing release the interpreter's lock."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(probe, paths, chunksize=1))
