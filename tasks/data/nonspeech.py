"""Recordings without speech: silence, noise, hum and tones, in which there is no word to find.

They are computed, so that every machine has the same ones, and written once into the user's cache.
A recogniser that finds a word there would find it in a ward's pauses, too.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile

from tasks.common import hashing

if TYPE_CHECKING:
    from collections.abc import Callable

Samples: TypeAlias = npt.NDArray[np.float64]

SAMPLE_RATE = 16_000
OF_EACH_KIND = 10
SHORTEST_S, LONGEST_S = 1.0, 6.0
_VENTILATOR_HZ = 1_000
_VERSION = 1
"""Rises when a recording changes: figures of other recordings are not compared."""


@dataclass(frozen=True, slots=True)
class NonspeechRecording:
    """A recording without speech.

    Attributes:
        audio: a WAV file of 16 kHz, 16 bits, one channel.
        kind: a key of KINDS.
        seconds: its length.
        sha256: of the file.
    """

    audio: Path
    kind: str
    seconds: float
    sha256: str


def recordings() -> tuple[NonspeechRecording, ...]:
    """Return the recordings, ten of each kind; they are written where they are not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asr-flywheel"
    folder = cache / f"nonspeech-{_VERSION}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=cache) as made:
            write(Path(made) / folder.name)
            with suppress(OSError):  # another process was faster
                (Path(made) / folder.name).rename(folder)
    return tuple(_read(path) for path in sorted(folder.glob("*.wav")))


def write(folder: Path) -> None:
    """Write all recordings as ``<kind>-<number>.wav``; the same bytes on every machine."""
    folder.mkdir(parents=True)
    for place, (kind, make) in enumerate(KINDS.items()):
        for number in range(OF_EACH_KIND):
            rng = np.random.default_rng((_VERSION, place, number))
            share = number / (OF_EACH_KIND - 1)
            # In tenths of a second: a transform of a prime length takes many times as long.
            tenths = round(10 * (SHORTEST_S + share * (LONGEST_S - SHORTEST_S)))
            count = tenths * SAMPLE_RATE // 10
            # Whole numbers are the same everywhere, where the last bit of a float is not.
            samples = np.round(np.clip(make(count, rng), -1.0, 1.0) * 32_767).astype(np.int16)
            soundfile.write(folder / f"{kind}-{number}.wav", samples, SAMPLE_RATE, subtype="PCM_16")


def _read(path: Path) -> NonspeechRecording:
    seconds = soundfile.info(path).frames / SAMPLE_RATE
    kind = path.stem.rpartition("-")[0]
    return NonspeechRecording(path, kind, seconds, hashing.sha256(path))


def _silence(count: int, _: np.random.Generator) -> Samples:
    return np.zeros(count)


def _room(count: int, rng: np.random.Generator) -> Samples:
    """Return noise whose power falls by 3 dB an octave, as a quiet room's does."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum /= np.sqrt(np.maximum(np.arange(spectrum.size), 1))
    return _at_level(np.fft.irfft(spectrum, count), rng.uniform(-60, -45))


def _hiss(count: int, rng: np.random.Generator) -> Samples:
    return _at_level(rng.standard_normal(count), rng.uniform(-45, -20))


def _hum(count: int, rng: np.random.Generator) -> Samples:
    """Return the mains of either half of the world, with four harmonics."""
    time = np.arange(count) / SAMPLE_RATE
    mains = rng.choice([50.0, 60.0])
    tones = [
        np.sin(2 * np.pi * mains * harmonic * time + rng.uniform(0, 2 * np.pi)) / harmonic
        for harmonic in range(1, 6)
    ]
    return _at_level(np.sum(tones, axis=0), rng.uniform(-40, -20)) + _room(count, rng)


def _ventilator(count: int, rng: np.random.Generator) -> Samples:
    """Return noise under 1 kHz that swells a dozen times a minute."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum[np.fft.rfftfreq(count, 1 / SAMPLE_RATE) > _VENTILATOR_HZ] = 0
    time = np.arange(count) / SAMPLE_RATE
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(0.15, 0.4) * time)
    return _at_level(np.fft.irfft(spectrum, count) * swell, rng.uniform(-40, -25))


def _monitor(count: int, rng: np.random.Generator) -> Samples:
    """Return the beeps of a monitor: 80 ms of one tone, fifty to a hundred and ten a minute."""
    time = np.arange(count) / SAMPLE_RATE
    beeping = np.mod(time, 60 / rng.uniform(50, 110)) < 0.08  # noqa: PLR2004 - seconds
    tone = np.sin(2 * np.pi * rng.uniform(600, 1_200) * time)
    return beeping * tone * 10 ** (rng.uniform(-35, -20) / 20) + _room(count, rng)


def _at_level(samples: Samples, decibels: float) -> Samples:
    """Return samples at a level in dB of full scale."""
    level: float = np.sqrt(np.mean(samples**2))
    return samples / level * 10 ** (decibels / 20)


KINDS: dict[str, Callable[[int, np.random.Generator], Samples]] = {
    "silence": _silence,
    "room": _room,
    "hiss": _hiss,
    "hum": _hum,
    "ventilator": _ventilator,
    "monitor": _monitor,
}
"""Digital silence, a quiet room, white noise, mains hum, a ventilator, a monitor's beeps."""
