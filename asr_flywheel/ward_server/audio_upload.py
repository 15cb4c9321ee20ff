"""An uploaded recording as samples, read from memory; what is broken or hostile is refused.

Nothing that a header states is believed: blocks are decoded until the recording ends or is too
long, and a header that promises other samples than there are is refused. Such a file was cut short,
and its text would lack words without a sign.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from asr_flywheel.ward_server.api_errors import refuse
from tasks.data.audio_headers import wav_stream_facts

if TYPE_CHECKING:
    import numpy.typing as npt

    from asr_flywheel.ward_server.api_errors import ApiError

    Samples = npt.NDArray[np.float32]
    Integers = npt.NDArray[np.int32]

_FORMATS = frozenset(("WAV", "WAVEX", "RF64", "FLAC", "OGG"))
# libsndfile looks for thirty formats, some without a mark of their own: it sees these only.
_MARKS = (b"RIFF", b"RF64", b"fLaC", b"OggS")
_TAKEN = "Send WAV, FLAC, or OGG with Vorbis or Opus."
_RATES = (4000, 192000)
_CHANNELS = 2
_LEAST_S = 0.1
_LOUDEST = 4.0
"""Lossy codecs overshoot full scale a little; samples of 32768 are integers in the wrong place."""
_BLOCK_FRAMES = 1 << 16
# libsndfile's figure where a FLAC's header does not state the length.
_LENGTH_UNKNOWN = 1 << 62
_OGG_PAGE, _OGG_LAST = b"OggS", 4
_FLAC_MD5 = slice(26, 42)
_FLAC_BITS = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}
_WIDEST_BITS = 32


@dataclass(frozen=True, slots=True)
class DecodedUpload:
    """A recording that can be transcribed.

    Attributes:
        samples: one channel, float32 around -1 to 1 at the model's rate, shape (samples,).
        seconds: its length.
        warning: what may be wrong with it; "" where nothing is.
    """

    samples: Samples
    seconds: float
    warning: str = ""


def decode_upload(content: bytes, rate: int, longest_s: float) -> DecodedUpload:
    """Decode an uploaded recording as the offline evaluation does: channels averaged, by soxr.

    Args:
        content: the file's bytes.
        rate: Hz that the model listens at.
        longest_s: seconds that are allowed.

    Raises:
        ApiError: it is empty, too short, too long, broken, or no audio that is taken.
    """
    if not content:
        raise _unusable("empty_file", "the file is empty.")
    if not content.startswith(_MARKS):
        raise _unusable("invalid_file_format", f"the file is no audio that is taken. {_TAKEN}")
    if (facts := wav_stream_facts(io.BytesIO(content), len(content))) and facts.reason:
        raise _unusable("broken_audio", f"{facts.reason}. Write the recording again.")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            _check_header(sound, longest_s)
            mono = _read(sound, content, longest_s)
            promised = sound.frames if facts is None else facts.promised_frames
            file_rate = sound.samplerate
    except soundfile.SoundFileError as wrong:
        # Its text names our own object; the library's word alone is of use to a client.
        reason = str(getattr(wrong, "error_string", wrong)).strip().rstrip(".")
        raise _unusable("broken_audio", f"it cannot be decoded to its end ({reason}).") from wrong
    seconds = len(mono) / file_rate
    if promised is not None and promised != len(mono):
        raise _unusable(
            "broken_audio",
            f"its header promises {promised / file_rate:.2f} s and {seconds:.2f} s are there: it "
            "was cut short. Send the whole file.",
        )
    if seconds < _LEAST_S:
        raise _unusable(
            "audio_too_short", f"the recording has {seconds:.3f} s; at least {_LEAST_S:g} s."
        )
    if file_rate != rate:
        mono = soxr.resample(mono, file_rate, rate)
    warning = (
        "file: the OGG has no end mark, and may have been cut short"
        if (content.startswith(_OGG_PAGE) and not _ends(content))
        else ""
    )
    return DecodedUpload(np.ascontiguousarray(mono, dtype=np.float32), seconds, warning)


def _check_header(sound: soundfile.SoundFile, longest_s: float) -> None:
    """Refuse what need not be decoded to be refused."""
    if sound.format not in _FORMATS:
        raise _unusable("invalid_file_format", f"{sound.format} is not taken. {_TAKEN}")
    least, most = _RATES
    if not least <= sound.samplerate <= most:
        raise _unusable(
            "invalid_audio",
            f"the sample rate is {sound.samplerate} Hz; {least} to {most} Hz are taken.",
        )
    if sound.channels > _CHANNELS:
        raise _unusable(
            "invalid_audio",
            f"the recording has {sound.channels} channels; one or two are taken. Send one channel.",
        )
    if sound.frames >= _LENGTH_UNKNOWN:
        raise _unusable(
            "broken_audio",
            "its header does not state the length, as where a FLAC was written into a pipe. Write "
            "it into a file.",
        )
    if sound.frames > longest_s * sound.samplerate:
        raise _too_long(longest_s)


def _read(sound: soundfile.SoundFile, content: bytes, longest_s: float) -> Samples:
    """Decode to the end, or until it is too long; return the mean of the channels."""
    bits = _FLAC_BITS.get(sound.subtype) if sound.format == "FLAC" else None
    digest = hashlib.md5(usedforsecurity=False)
    blocks = []
    frames = 0
    kind = "float32" if bits is None else "int32"
    while len(read := sound.read(_BLOCK_FRAMES, dtype=kind, always_2d=True)):
        frames += len(read)
        if frames > longest_s * sound.samplerate:
            raise _too_long(longest_s)
        if bits is None:
            block: Samples = read
        else:
            digest.update(_packed(read, bits))
            block = read.astype(np.float32) / np.float32(1 << (_WIDEST_BITS - 1))
        peak = float(np.abs(block).max())
        if not np.isfinite(peak):
            raise _unusable("invalid_audio", "the recording holds samples that are no numbers.")
        if peak > _LOUDEST:
            raise _unusable(
                "invalid_audio",
                f"the recording holds samples of {peak:.0f}, and full scale is 1. Divide integers "
                "by their full scale before you write them as floating point.",
            )
        blocks.append(block.mean(axis=1, dtype=np.float32))
    stated = content[_FLAC_MD5]
    if bits is not None and any(stated) and digest.digest() != stated:
        raise _unusable(
            "broken_audio",
            "its samples are not those that its header has the MD5 of: it was cut or damaged. Send "
            "the whole file.",
        )
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _ends(content: bytes) -> bool:
    """Return whether the last page of an OGG says that it is the last; libsndfile does not ask."""
    flags = content.rfind(_OGG_PAGE) + 5
    return flags < len(content) and bool(content[flags] & _OGG_LAST)


def _packed(block: Integers, bits: int) -> bytes:
    """Return integers as FLAC's MD5 counts them: little-endian, of as few bytes as they need."""
    shifted = np.ascontiguousarray(block >> (_WIDEST_BITS - bits), dtype="<i4")
    return shifted.view(np.uint8).reshape(*block.shape, 4)[..., : bits // 8].tobytes()


def _unusable(code: str, reason: str) -> ApiError:
    return refuse(code, f"file: {reason}", "file")


def _too_long(longest_s: float) -> ApiError:
    return _unusable(
        "audio_too_long",
        f"the recording is longer than {longest_s:g} s. Send it in parts, cut where nobody speaks.",
    )
