"""Find recordings in which nobody speaks, by a detector of voices: Silero's, which is optional.

The level check (tasks/data/sound_level.py) costs next to nothing and runs always. It takes for
speech whatever swells as speech does, such as a ventilator or a monitor's beeps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.installation import install_fix
from tasks.data import audio_probe, findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tasks.data.audio_probe import Samples
    from tasks.data.findings import ManifestFinding
    from tasks.data.preflight import CheckedRow

CODE = "audio-no-speech"
RATE = 16_000
_RATES = (8_000, RATE)
_FULL_SCALE = 32_768.0
_PEAK = 0.5
# A recording 40 dB under the usual level is still heard; the noise of a muted microphone is not.
_MOST_GAIN = 100.0
_SAID_EVERY = 500


class VoiceDetector(Protocol):
    """Tells how long somebody speaks in a recording."""

    def seconds(self, samples: Samples, rate: int) -> float:
        """Return the seconds of speech.

        Args:
            samples: 16 bits, (frames,) or (frames, channels).
            rate: Hz.
        """


class SileroDetector:
    """Silero's detector of voices, on one core (https://github.com/snakers4/silero-vad)."""

    def __init__(self) -> None:
        """Load the model, which its package brings.

        Raises:
            InputError: the package is not installed.
        """
        try:
            import silero_vad  # noqa: PLC0415 - optional, and it imports torch
        except ImportError as missing:
            raise InputError(
                f"--speech needs a package that is not installed ({missing}). "
                f"Fix: {install_fix('vad')}, or leave --speech out."
            ) from None
        self._find = silero_vad.get_speech_timestamps
        self._model: Any = silero_vad.load_silero_vad(onnx=True)

    def seconds(self, samples: Samples, rate: int) -> float:
        """Return the seconds of speech."""
        return sum(end - start for start, end in self.spans(samples, rate))

    def spans(self, samples: Samples, rate: int) -> list[tuple[float, float]]:
        """Return where somebody speaks, in seconds; quiet recordings are made louder before."""
        wave = samples.astype(np.float32) / _FULL_SCALE
        if wave.ndim > 1:
            wave = wave.mean(axis=1)
        if rate not in _RATES:
            import soxr  # noqa: PLC0415 - comes with the same extra

            wave, rate = soxr.resample(wave, rate, RATE), RATE
        if peak := float(np.abs(wave).max(initial=0.0)):
            wave *= min(_MOST_GAIN, _PEAK / peak)
        found = self._find(wave, self._model, sampling_rate=rate)
        return [(span["start"] / rate, span["end"] / rate) for span in found]


@dataclass(frozen=True, slots=True)
class SpeechCheck:
    """What a detector found.

    Attributes:
        findings: a warning for each row in which nobody speaks.
        rows: that were heard.
        seconds: of sound.
        processor_s: seconds of the processor that it took.
    """

    findings: tuple[ManifestFinding, ...]
    rows: int
    seconds: float
    processor_s: float

    def __str__(self) -> str:
        times = self.seconds / self.processor_s if self.processor_s else 0.0
        return (
            f"speech check: {counted(self.rows, 'recording')}, {self.seconds / 60:.1f} minutes, in "
            f"{self.processor_s:.1f} s of the processor ({times:.0f} times real time); "
            f"{len(self.findings)} without speech"
        )


def check_speech(
    rows: Iterable[CheckedRow],
    detector: VoiceDetector,
    report: Callable[[str], None] = lambda _: None,
) -> SpeechCheck:
    """Listen to each row once, and warn where nobody speaks.

    Args:
        rows: that preflight has passed; their recordings can be read.
        detector: that listens.
        report: takes a line of progress.
    """
    unspoken = []
    heard = 0
    seconds = 0.0
    started = time.process_time()
    for heard, row in enumerate(rows, start=1):
        samples, rate = audio_probe.read_16_bits(row.audio)
        seconds += len(samples) / rate
        if not detector.seconds(samples, rate):
            unspoken.append(_warn(row))
        if heard % _SAID_EVERY == 0:
            report(f"speech check: {counted(heard, 'recording')}")
    return SpeechCheck(tuple(unspoken), heard, seconds, time.process_time() - started)


def _warn(row: CheckedRow) -> ManifestFinding:
    utterance = row.utterance
    return findings.warning(
        CODE,
        utterance.row,
        utterance.audio_filepath,
        "a detector of voices finds no speech in it, and it has a text",
        "listen to it; remove the row where nobody speaks, and correct audio_filepath where it is "
        "another recording",
    )
