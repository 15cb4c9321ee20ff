"""Pseudo-voices: one synthetic speaker, made larger and smaller.

Playing a recording faster raises pitch and formants together, as a shorter vocal tract would. If
the speaker talks more slowly beforehand by the same factor, the tempo comes out right and only
the apparent speaker changes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    """A pseudo-voice.

    Attributes:
        voice_id: The name that manifests carry.
        percent: Playback rate in percent: below 100 a lower voice, above 100 a higher one.
        pace: Tempo of the finished speech; 1.0 is the synthesiser's own.
    """

    voice_id: str
    percent: int
    pace: float = 1.0


#: The benchmark's speakers, from low to high.
VOICES: tuple[Voice, ...] = (
    Voice("heart_p085", 85, 0.96),
    Voice("heart_p090", 90, 1.04),
    Voice("heart_p095", 95, 0.92),
    Voice("heart_p100", 100, 1.00),
    Voice("heart_p105", 105, 1.08),
    Voice("heart_p109", 109, 0.95),
    Voice("heart_p114", 114, 1.02),
    Voice("heart_p118", 118, 0.98),
)
