"""Speech and noise as arrays: the synthesiser behind the benchmark and the base model's corpus.

Everything here works on 16 kHz mono. Samples are int16 where they are finished audio and float32
in [-1, 1] while they are being worked on.
"""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from hibari import Hibari
from scipy.signal import resample_poly

from asr_flywheel.demo.voices import VOICES, Voice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SAMPLE_RATE = 16_000
#: Silence before and after an utterance, in samples (0.1 s).
MARGIN = SAMPLE_RATE // 10
#: Peak of finished audio: leaves head-room, and makes clipping impossible.
PEAK = 0.8
#: Share of babble in the benchmark's noise power; the rest is pink noise.
BABBLE_SHARE = 0.5

#: What the babble's talkers say. Ordinary sentences: no clinical term hides in the noise.
BABBLE_TEXTS = (
    "we could meet by the front desk after lunch and walk over together",
    "the elevator on this side has been slow since early this morning",
    "did anyone order coffee for the people who are waiting outside",
    "my brother is driving up from the coast for the long weekend",
    "they moved all of the chairs into the other room yesterday",
    "nobody told me that the parking lot would be closed again",
)

FloatAudio = npt.NDArray[np.float32]
PcmAudio = npt.NDArray[np.int16]


class Synthesiser:
    """Turns text into 16 kHz speech of a pseudo-voice; the same arguments give the same samples."""

    def __init__(self) -> None:
        self._tts = Hibari()

    def speak(
        self,
        text: str,
        voice: Voice,
        *,
        seed: int,
        pronunciations: Mapping[str, str] | None = None,
    ) -> FloatAudio:
        """Say one sentence.

        Args:
            text: Lower-case words.
            voice: Who says it.
            seed: Fixes the breath noise in the synthesiser.
            pronunciations: IPA to use for words or phrases of the text, by their spelling.

        Returns:
            Samples of shape (n,), with silent margins, peak at most ``PEAK``.
        """
        for phrase, ipa in (pronunciations or {}).items():
            text = text.replace(phrase, f"[{phrase}](/{ipa}/)")
        native = self._tts(text, speed=100 * voice.pace / voice.percent, seed=seed)
        # Taking the samples as if recorded at percent/100 x 24 kHz is the change of voice.
        speech = resample_poly(native, 200, 3 * voice.percent).astype(np.float32)
        speech *= PEAK / max(float(np.abs(speech).max(initial=0.0)), PEAK)
        return np.pad(speech, MARGIN)


def to_pcm(audio: FloatAudio) -> PcmAudio:
    """Convert samples in [-1, 1] to 16-bit integers."""
    return np.round(np.clip(audio, -1.0, 1.0) * 32767).astype(np.int16)


def write_wav(path: Path, audio: FloatAudio) -> float:
    """Write 16 kHz mono 16-bit PCM; returns the duration in seconds."""
    pcm = to_pcm(audio)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm.astype("<i2").tobytes())
    return len(pcm) / SAMPLE_RATE


def babble_bank(synthesiser: Synthesiser) -> tuple[FloatAudio, ...]:
    """Synthesise the background talkers, one recording each, always the same."""
    return tuple(
        synthesiser.speak(text, VOICES[(3 * i) % len(VOICES)], seed=i)
        for i, text in enumerate(BABBLE_TEXTS)
    )


def ward_noise(length: int, bank: tuple[FloatAudio, ...], rng: np.random.Generator) -> FloatAudio:
    """Make the noise of a busy ward: pink noise and distant talkers, at unit power.

    Args:
        length: Samples wanted.
        bank: Background talkers; each comes in at a random point of its recording.
        rng: Source of all randomness.
    """
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))  # power falls as 1 / frequency
    pink = np.fft.irfft(spectrum, length)
    babble = np.zeros(length)
    for talker in bank:
        babble += np.resize(np.roll(talker, int(rng.integers(len(talker)))), length)
    noise = np.sqrt(1 - BABBLE_SHARE) * _unit(pink) + np.sqrt(BABBLE_SHARE) * _unit(babble)
    return _unit(noise).astype(np.float32)


def mix(speech: FloatAudio, noise: FloatAudio, snr_db: float) -> FloatAudio:
    """Mix speech and noise at a signal-to-noise ratio, both powers over the whole utterance.

    Args:
        speech: Samples of shape (n,).
        noise: Samples of shape (n,), of unit power.
        snr_db: Ratio of the powers in decibels.
    """
    power = float(np.mean(np.square(speech, dtype=np.float64)))
    noisy = speech + noise * np.float32(np.sqrt(power / 10 ** (snr_db / 10)))
    return noisy * np.float32(PEAK / max(float(np.abs(noisy).max()), PEAK))


def _unit(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scale a signal to a mean power of one."""
    scaled: npt.NDArray[np.float64] = signal / np.sqrt(np.mean(np.square(signal)))
    return scaled
