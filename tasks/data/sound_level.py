"""Loudness and speech share of a recording, from its samples as they are decoded.

One loud sample says nothing: a muted microphone leaves noise of one bit, a door slams in a silent
recording, and two channels in opposite phase are each loud and together nothing. So the level is
that of frames of 20 ms, of each channel and of their mean, which is what a model hears.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Samples = npt.NDArray[np.int16]
    Floats = npt.NDArray[np.float64]

_FRAMES_A_SECOND = 50
_FULL_SCALE = 32768.0
_SILENCE_DB = -120.0
_LOUD_PERCENTILE = 95
# A word in a long silence is no silence: of so many loud frames no recording needs more.
_MOST_LOUD_FRAMES = 15
_QUIET_PERCENTILE = 10
# Speech is where a frame comes within this of the loudest frames, and stands off the quiet ones.
_SPEECH_UNDER_LOUD_DB = 25.0
_SPEECH_OVER_QUIET = 0.3
# Below this, equal samples are the steps of a quiet signal and not the flat top of a clipped one.
_LEAST_CLIPPED_PEAK = 3277
_SPECTRUM_SAMPLES = 8192
_TONE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class SoundLevel:
    """The level of a recording, in dB below full scale, of frames of 20 ms without their offset.

    Attributes:
        loud_db: the level that 5% of the frames exceed, 15 frames at most, of the channels' mean.
        range_db: from there down to the level that 10% of the frames lie under.
        speech_seconds: from the first to the last frame that stands out as speech does.
        tonal: whether one frequency holds most of the energy.
        clipped_share: samples on a flat top at the peak, over all samples.
        channel_db: the same level as ``loud_db`` of each channel alone.
        same_channels: whether all channels hold the same samples.
    """

    loud_db: float = 0.0
    range_db: float = 60.0
    speech_seconds: float = 0.0
    tonal: bool = False
    clipped_share: float = 0.0
    channel_db: tuple[float, ...] = ()
    same_channels: bool = True

    @property
    def louder_channel(self) -> int:
        """The number, from 1, of the channel with the highest level."""
        return 1 + max(range(len(self.channel_db)), key=self.channel_db.__getitem__, default=0)

    @property
    def lost_by_mixing_db(self) -> float:
        """How far the channels' mean lies under the louder channel."""
        return max(self.channel_db, default=self.loud_db) - self.loud_db


NO_LEVEL = SoundLevel()
"""The level of a recording without samples."""


@dataclass
class LevelMeter:
    """A meter that takes a recording block by block.

    Attributes:
        rate: Hz.
        channels: how many.
    """

    rate: int
    channels: int
    _powers: list[list[Floats]] = field(default_factory=list)
    _flat: list[int] = field(default_factory=list)
    _peaks: list[int] = field(default_factory=list)
    _samples: int = 0
    _is_same: bool = True
    _sample: Floats | None = None

    def add(self, block: Samples) -> None:
        """Take the next samples, shape (frames,) or (frames, channels)."""
        channels = [block] if block.ndim == 1 else list(block.T)
        if len(channels) > 1 and self._is_same:
            self._is_same = all(np.array_equal(channels[0], other) for other in channels[1:])
        mean = block.astype(np.float64) if block.ndim == 1 else block.mean(axis=1)
        if self._sample is None and len(mean) >= _SPECTRUM_SAMPLES:
            start = (len(mean) - _SPECTRUM_SAMPLES) // 2
            self._sample = mean[start : start + _SPECTRUM_SAMPLES]
        signals = [mean] if len(channels) == 1 else [mean, *channels]
        self._powers.append([self._frame_powers(signal) for signal in signals])
        self._count_flat_tops(block)
        self._samples += block.size

    def _frame_powers(self, signal: npt.NDArray[np.generic]) -> Floats:
        length = max(self.rate // _FRAMES_A_SECOND, 1)
        frames = max(len(signal) // length, 1)
        framed = signal[: frames * length].astype(np.float64, copy=False)
        framed = framed.reshape(frames, -1) if len(framed) == frames * length else framed[None]
        # A constant offset, as cheap sound cards add it, is no sound.
        return np.asarray(framed.var(axis=1))

    def _count_flat_tops(self, block: Samples) -> None:
        """Count samples that are as loud as the block's loudest, side by side with one such."""
        size = np.abs(block.astype(np.int32))
        peak = int(size.max(initial=0))
        # 32767 and -32768 are one ceiling.
        top = size >= peak - (1 if peak >= _FULL_SCALE - 1 else 0)
        side_by_side = top[1:] & top[:-1]
        self._flat.append(int(side_by_side.sum()) if peak >= _LEAST_CLIPPED_PEAK else 0)
        self._peaks.append(peak)

    def read(self) -> SoundLevel:
        """Return the level of what was taken so far."""
        if not self._powers:
            return NO_LEVEL
        levels = [_decibels(np.concatenate(powers)) for powers in zip(*self._powers, strict=True)]
        percentile = max(_LOUD_PERCENTILE, 100 * (1 - _MOST_LOUD_FRAMES / len(levels[0])))
        first, quiet = np.percentile(levels[0], (percentile, _QUIET_PERCENTILE)).tolist()
        loud = [first, *(float(np.percentile(level, percentile)) for level in levels[1:])]
        threshold = max(
            loud[0] - _SPEECH_UNDER_LOUD_DB, quiet + _SPEECH_OVER_QUIET * (loud[0] - quiet)
        )
        heard = np.nonzero(levels[0] > threshold)[0]
        span = (heard[-1] - heard[0] + 1) / _FRAMES_A_SECOND if len(heard) else 0.0
        highest = max(self._peaks)
        flat = sum(
            count
            for count, peak in zip(self._flat, self._peaks, strict=True)
            if peak >= highest - 1
        )
        return SoundLevel(
            loud_db=loud[0],
            range_db=loud[0] - quiet,
            speech_seconds=float(span),
            tonal=self._is_tonal(),
            clipped_share=flat / max(self._samples, 1),
            channel_db=tuple(loud[1:]) or (loud[0],),
            same_channels=self._is_same,
        )

    def _is_tonal(self) -> bool:
        if self._sample is None:
            return False
        windowed = (self._sample - self._sample.mean()) * _window()
        power = np.abs(np.fft.rfft(windowed)) ** 2
        if not power.sum():
            return False
        place = int(power.argmax())
        return bool(power[max(place - 3, 0) : place + 4].sum() / power.sum() > _TONE_SHARE)


@cache
def _window() -> Floats:
    """Return the window of the spectrum; to compute it costs as much as the transform."""
    return np.hanning(_SPECTRUM_SAMPLES)


def _decibels(powers: Floats) -> Floats:
    floor = 10 ** (_SILENCE_DB / 10)
    return 10 * np.log10(powers / _FULL_SCALE**2 + floor)
