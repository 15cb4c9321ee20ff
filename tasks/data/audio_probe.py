"""Read the facts of an audio file that a run needs, in one pass over it."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from tasks.data.audio_headers import (
    HeaderFacts,
    find_misstated_chunk,
    misread_wave64,
    mpeg_facts,
    wav_facts,
)
from tasks.data.sound_level import NO_LEVEL, LevelMeter, SoundLevel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Samples = npt.NDArray[np.int16]

PCM_16 = "PCM_16"
"""libsndfile's name for samples that are 16-bit integers in the file already."""
_FULL_SCALE = 32768
_BLOCK_FRAMES = 1 << 18
_READERS = 4
# libsndfile's figure where a header, such as a FLAC's of a pipe, does not state the length.
_LENGTH_UNKNOWN = 1 << 62


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """The facts from an audio file's header and its decoding.

    Attributes:
        sample_rate: Hz.
        channels: number of channels.
        frames: samples per channel that could be decoded.
        header_frames: samples per channel that the header promises.
        peak: largest absolute sample at 16 bits, 0 to 32768: 0 is digital silence.
        sha256: hash of the decoded 16-bit samples, so that the same recording under another name,
            with other tags in its header, or with wider samples is recognised as the same.
        over_range: samples beyond full scale, of all channels; only floating point can hold them.
        not_finite: samples that are NaN or infinite, likewise.
        level: loudness and speech share.
        unread_frames: about how many samples per channel lie in the file where no decoder looks.
        unread_reason: why not.
    """

    sample_rate: int
    channels: int
    frames: int
    header_frames: int
    peak: int
    sha256: str
    over_range: int = 0
    not_finite: int = 0
    level: SoundLevel = NO_LEVEL
    unread_frames: int = 0
    unread_reason: str = ""

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate

    @property
    def over_range_share(self) -> float:
        """Samples beyond full scale over all samples."""
        return self.over_range / max(self.frames * self.channels, 1)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An audio file that could not be decoded.

    Attributes:
        reason: the decoder's message.
        is_whole: whether the file is known to hold all that was recorded, for another decoder.
    """

    reason: str
    is_whole: bool = False


def probe(path: Path) -> AudioFacts | Unreadable:
    """Decode a file once and describe it."""
    digest = hashlib.sha256()
    frames = peak = over_range = not_finite = 0
    try:
        with soundfile.SoundFile(str(path)) as audio_file:
            rate, channels, header_frames = (
                audio_file.samplerate,
                audio_file.channels,
                audio_file.frames,
            )
            if header_frames >= _LENGTH_UNKNOWN:
                return Unreadable(
                    "its header does not state the length, as where it was written into a pipe",
                    is_whole=True,
                )
            if audio_file.format == "W64":
                with path.open("rb") as stream:
                    if reason := misread_wave64(stream):
                        return Unreadable(reason, is_whole=True)
            meter = LevelMeter(rate, channels)
            is_mpeg = audio_file.subtype.startswith("MPEG_LAYER")
            digest.update(f"{rate} {channels}\n".encode())
            while len((read := _read(audio_file, _BLOCK_FRAMES)).samples):
                block = read.samples
                frames += len(block)
                over_range += read.over_range
                not_finite += read.not_finite
                # abs() of -32768 overflows in 16 bits.
                peak = max(peak, int(block.max()), -int(block.min()))
                digest.update(block.tobytes())
                meter.add(block)
        header = (mpeg_facts(path, frames) if is_mpeg else wav_facts(path)) or HeaderFacts(
            header_frames
        )
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as wrong:
        return Unreadable(_explain(path, wrong))
    sha256 = digest.hexdigest()
    return AudioFacts(
        rate,
        channels,
        frames,
        frames if header.promised_frames is None else header.promised_frames,
        peak,
        sha256,
        over_range,
        not_finite,
        meter.read(),
        header.unread_frames,
        header.reason,
    )


def _explain(path: Path, wrong: Exception) -> str:
    """Return the decoder's message, and the cause that it does not name."""
    try:
        cause = find_misstated_chunk(path)
    except OSError:
        cause = None
    return str(wrong) if cause is None else f"{wrong} ({cause})"


def read_16_bits(path: Path) -> tuple[Samples, int]:
    """Return a recording's 16-bit samples, (frames,) or (frames, channels), and its rate in Hz.

    These are the samples whose hash names the recording.

    Raises:
        soundfile.SoundFileError: it cannot be read.
    """
    with soundfile.SoundFile(str(path)) as audio_file:
        return _read(audio_file, -1).samples, int(audio_file.samplerate)


@dataclass(frozen=True, slots=True)
class _Read:
    """Samples at 16 bits, and the counts of those that had to be changed."""

    samples: Samples
    over_range: int = 0
    not_finite: int = 0


def _read(audio_file: soundfile.SoundFile, frames: int) -> _Read:
    """Read the next samples at 16 bits; -1 frames read all that are left.

    libsndfile converts integers to integers, but passes floating point on as it is: as int16, a
    speech of -1.0 to 1.0 would become -1, 0 and 1 (and overshooting Vorbis would wrap around). So
    everything but 16-bit integers is read as floating point, which holds 24 bits, and rounded here.
    """
    if audio_file.subtype == PCM_16:
        return _Read(audio_file.read(frames, dtype="int16"))
    wide = audio_file.read(frames, dtype="float32")
    not_finite = wide.size - int(np.count_nonzero(np.isfinite(wide)))
    if not_finite:
        wide = np.nan_to_num(wide, nan=0.0, posinf=0.0, neginf=0.0)
    over_range = int(np.count_nonzero(np.abs(wide) > 1.0))
    rounded = np.rint(np.clip(wide, -1.0, 1.0) * np.float32(_FULL_SCALE))
    samples = np.minimum(rounded, _FULL_SCALE - 1).astype(np.int16)
    return _Read(samples, over_range, not_finite)


def probe_all(paths: Sequence[Path]) -> list[AudioFacts | Unreadable]:
    """Probe files side by side; decoding and hashing release the interpreter's lock."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(probe, paths, chunksize=1))
