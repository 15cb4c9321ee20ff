"""Convert a recording, or a part of one, to 16 kHz mono 16-bit FLAC.

A source that is that already is repacked without changing a sample. Channels are chosen by a rule
that is told, never summed. Loudness is left alone. Dither is added only where depth or rate falls,
from a seed that depends on the recording's content alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from tasks.data.importers.recording_reader import BLOCK_FRAMES, EXACT_16, ConversionError
from tasks.data.importers.source_rows import SKIP_FIX, needs_package

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from tasks.data.importers.import_settings import ChannelRule
    from tasks.data.importers.recording_reader import OpenRecording

    Samples = npt.NDArray[np.int16]
    Floats = npt.NDArray[np.float32]

RATE = 16000
NARROW_RATE = 8000
"""A recording of at most so many Hz holds a telephone's bandwidth."""

_FULL_SCALE = 32768
# Ends of segments are rounded; an end this far behind the recording's end is the recording's end.
_END_SLACK_S = 0.05
# A stated duration may be rounded likewise (tasks/data/audio_checks.py).
_DURATION_SLACK_S, _DURATION_SLACK_SHARE = 0.1, 0.02


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a recording: seconds, and the end None for the recording's end."""

    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted row.

    Attributes:
        frames: samples at 16 kHz.
        samples_sha256: hash of its decoded samples, as preflight and split compute it.
        source_rate: Hz.
        source_format: the source's container and samples, such as WAV PCM_16.
        channel: counted from 0; None where the source has one channel.
        change: none, depth, rate, or rate and depth.
        dithered: whether dither was added.
        clipped: samples that full scale limited.
    """

    frames: int
    samples_sha256: str
    source_rate: int
    source_format: str
    channel: int | None
    change: str
    dithered: bool
    clipped: int

    @property
    def duration(self) -> float:
        """Seconds, to a millisecond."""
        return round(self.frames / RATE, 3)

    @property
    def is_narrow(self) -> bool:
        """Whether the source holds a telephone's bandwidth."""
        return self.source_rate <= NARROW_RATE


def convert(
    opened: OpenRecording, span: Span, channel: int | None, seed: int, target: Path
) -> Converted:
    """Write a part of a recording as 16 kHz mono 16-bit FLAC.

    Args:
        opened: the recording.
        span: which part.
        channel: counted from 0; None where the recording has one.
        seed: of the dither, with the recording's content.
        target: the file to write; its folder is there.

    Raises:
        ConversionError: the part is not in the recording, or holds no samples.
    """
    audio = opened.audio
    rate, is_exact = int(audio.samplerate), audio.subtype in EXACT_16
    start, frames = frames_of(span, rate, int(audio.frames))
    column = channel if audio.channels > 1 else None
    digest = hashlib.sha256(f"{RATE} 1\n".encode())
    written = clipped = 0
    is_deep = not is_exact and not opened.lossy and not _holds_16_bits(audio, start, frames, column)
    dithered = is_deep or rate > RATE
    noise = None
    if dithered:
        name = f"{seed} {opened.sha256} {start} {column}"
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big")
        noise = np.random.Generator(np.random.PCG64(key))
    try:
        # Given a path, soundfile syncs each file to the disk: twice the time of a short row.
        with (
            target.open("wb+") as file,
            soundfile.SoundFile(file, "w", RATE, 1, "PCM_16", format="FLAC") as out,
        ):
            if is_exact and rate == RATE:
                blocks = _blocks(audio, start, frames, column, "int16")
            else:
                blocks = _resampled(_blocks(audio, start, frames, column, "float32"), rate)
            for block in blocks:
                samples: Samples
                if block.dtype != np.int16:
                    samples, limited = _to_16_bits(block, noise)
                    clipped += limited
                else:
                    samples = block.astype(np.int16, copy=False)
                out.write(samples)
                digest.update(samples.tobytes())
                written += len(samples)
    except soundfile.SoundFileError as wrong:
        raise ConversionError(
            f"the recording cannot be decoded to its end ({wrong})", f"copy it again, {SKIP_FIX}"
        ) from wrong
    require_sound(written, RATE)
    changes = [name for name, holds in (("rate", rate != RATE), ("depth", is_deep)) if holds]
    return Converted(
        frames=written,
        samples_sha256=digest.hexdigest(),
        source_rate=rate,
        source_format=opened.source_format,
        channel=column,
        change=" and ".join(changes) or "none",
        dithered=dithered,
        clipped=clipped,
    )


def check_duration(seconds: float, stated: float | None) -> None:
    """Refuse a whole recording that is of another length than its source states.

    Args:
        seconds: its length.
        stated: by the source; None where it states none.

    Raises:
        ConversionError: it is another recording, or a part of one was meant.
    """
    slack = max(_DURATION_SLACK_S, _DURATION_SLACK_SHARE * seconds)
    if stated is not None and abs(stated - seconds) > slack:
        raise ConversionError(
            f"the source states {stated:g} s, and the recording has {seconds:.3f} s",
            "check that it is the right file; state start and end (offset) where a part is meant",
        )


def require_sound(frames: int, rate: int) -> None:
    """Refuse what is shorter than half a millisecond: its duration in a manifest would be 0.

    Raises:
        ConversionError: it is.
    """
    if not round(frames / rate, 3):
        raise ConversionError(
            f"it holds {frames} sample{'s' * (frames != 1)}, which is no sound that anybody hears",
            f"record or copy it again, {SKIP_FIX}",
        )


def frames_of(span: Span, rate: int, held: int) -> tuple[int, int]:
    """Return a part's first sample and its number of samples.

    Args:
        span: the part.
        rate: Hz.
        held: samples that the recording has.

    Raises:
        ConversionError: the recording lacks them, or there is none.
    """
    check_order(span)
    start = round(span.start * rate)
    end = held if span.end is None else round(span.end * rate)
    if end > held and end - held <= _END_SLACK_S * rate:
        end = held
    if start < 0 or end > held:
        raise ConversionError(
            f"the part from {span.start:g} s to {end / rate:g} s is not in the recording, which "
            f"has {held / rate:.3f} s",
            f"correct start and end, or the recording's name, {SKIP_FIX}",
        )
    if end <= start:
        raise ConversionError(
            f"the part from {span.start:g} s to {end / rate:g} s holds no samples",
            f"correct start and end, {SKIP_FIX}",
        )
    return start, end - start


def check_order(span: Span) -> None:
    """Refuse a part that ends where it begins, or before.

    Raises:
        ConversionError: it does.
    """
    if span.end is not None and span.end <= span.start:
        raise ConversionError(
            f"the part from {span.start:g} s to {span.end:g} s ends before it begins",
            f"correct start and end, {SKIP_FIX}",
        )


def _blocks(
    audio: soundfile.SoundFile, start: int, frames: int, column: int | None, dtype: str
) -> Iterator[npt.NDArray[np.generic]]:
    audio.seek(start)
    left = frames
    while left:
        block = audio.read(min(left, BLOCK_FRAMES), dtype=dtype)
        if not len(block):
            raise ConversionError(
                f"{left} of {frames} samples are missing at its end", f"copy it again, {SKIP_FIX}"
            )
        left -= len(block)
        yield block if column is None else np.ascontiguousarray(block[:, column])


def _holds_16_bits(audio: soundfile.SoundFile, start: int, frames: int, column: int | None) -> bool:
    """Return whether samples of a wider format are 16-bit integers, so that no depth falls."""
    for block in _blocks(audio, start, frames, column, "float32"):
        scaled = block.astype(np.float32) * np.float32(_FULL_SCALE)
        if not np.array_equal(scaled, np.rint(scaled)) or np.abs(scaled).max() > _FULL_SCALE:
            return False
    return True


def _resampled(
    blocks: Iterator[npt.NDArray[np.generic]], rate: int
) -> Iterator[npt.NDArray[np.generic]]:
    if rate == RATE:
        yield from blocks
        return
    try:
        import soxr  # noqa: PLC0415 - an optional package
    except ImportError as absent:
        raise needs_package("soxr", f"Converting a recording of {rate} Hz") from absent
    stream = soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="VHQ")
    for block in blocks:
        yield stream.resample_chunk(block, last=False)
    yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def _to_16_bits(
    block: npt.NDArray[np.generic], noise: np.random.Generator | None
) -> tuple[Samples, int]:
    """Round to 16 bits, with triangular dither of one step where a generator is given."""
    finite = np.nan_to_num(block.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    scaled = finite * np.float32(_FULL_SCALE)
    if noise is not None:
        scaled += noise.random(len(scaled), dtype=np.float32)
        scaled -= noise.random(len(scaled), dtype=np.float32)
    rounded = np.rint(scaled)
    limited = np.clip(rounded, -_FULL_SCALE, _FULL_SCALE - 1)
    # Full scale itself is no clipping: +1.0 becomes 32767.
    over = int(np.count_nonzero((rounded > _FULL_SCALE) | (rounded < -_FULL_SCALE)))
    return limited.astype(np.int16), over


def choose_channel(
    opened: OpenRecording, span: Span, named: int | None, voice: str | None, rule: ChannelRule
) -> int | None:
    """Return the channel of a row, counted from 0; None where the recording has one channel.

    The source's own word counts first, then the rule; channels that hold the same samples are one.

    Raises:
        ConversionError: nothing says which channel, or there is no such channel.
    """
    audio = opened.audio
    if audio.channels == 1:
        if named not in {None, 0}:
            raise ConversionError(
                f"the source names channel {named}, counted from 0, and the recording has one",
                "correct the channel, or the recording's name",
            )
        return None
    chosen = named
    if chosen is None and voice is not None:
        chosen = rule.by_voice.get(voice)
    if chosen is None and not rule.louder:
        chosen = rule.channel
    if chosen is not None:
        if not 0 <= chosen < audio.channels:
            raise ConversionError(
                f"channel {chosen + 1} does not exist: the recording has {audio.channels}",
                f"name one from 1 to {audio.channels}",
            )
        return chosen
    start, frames = frames_of(span, int(audio.samplerate), int(audio.frames))
    power = np.zeros(audio.channels)
    is_same = True
    audio.seek(start)
    left = frames
    while left and len(block := audio.read(min(left, BLOCK_FRAMES), dtype="float32")):
        left -= len(block)
        power += (block.astype(np.float64) ** 2).sum(axis=0)
        is_same = is_same and bool((block == block[:, :1]).all())
    if is_same:
        return 0
    if rule.louder:
        return int(power.argmax())
    levels = 10 * np.log10(power / frames + 1e-12)
    shown = " and ".join(f"{level:.0f} dB" for level in levels)
    raise ConversionError(
        f"the recording has {audio.channels} channels ({shown}), and nothing says which is meant; "
        "they are never mixed",
        "name it: --channel 1, --channel louder, or --channel VOICE=2 for the rows of a voice",
    )
