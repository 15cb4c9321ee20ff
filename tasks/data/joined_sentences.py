"""Sentences of general English, joined to recordings of 30, 60 and 120 s.

A model that was tuned on short rows can lose the long ones, and no short row shows it. So sentences
that guard are joined: each recording lasts at least its length, and ends with a whole sentence.
Which sentences they are follows from the set alone: the first ones, in the set's own order, at
every length, so that the figures of the lengths are of the same words.

Between two sentences lies a pause, as quiet as the quietest moment of the sentence before it:
digital zeros would shift the normalisation of the whole recording.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile

from tasks.data.audio_probe import read_16_bits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tasks.data.preflight import CheckedRow

Samples: TypeAlias = npt.NDArray[np.int16]

ROWS_ON_GPU = {30: 8, 60: 6, 120: 5}
ROWS_ON_CPU = {30: 4, 60: 2, 120: 1}
"""How many recordings of each length. On a CPU two minutes at once take many times as long as in
sentences, since attention looks from every frame at every other one."""
PAUSE_S = 0.25
_QUIET_S = 0.025
_VERSION = 1
"""Rises when a recording changes: a text of another recording is not its text."""


@dataclass(frozen=True, slots=True)
class JoinedRow:
    """A recording of several sentences.

    Attributes:
        seconds: 30, 60 or 120, which it lasts at least.
        number: among those of its length, from 0.
        sentences: in their order.
    """

    seconds: int
    number: int
    sentences: tuple[CheckedRow, ...]

    @property
    def name(self) -> str:
        """The recording's file name."""
        return f"joined-{self.seconds}-{self.number}.wav"

    @property
    def texts(self) -> tuple[str, ...]:
        """What is said, sentence by sentence."""
        return tuple(row.utterance.text for row in self.sentences)

    @property
    def text(self) -> str:
        """What is said."""
        return " ".join(self.texts)

    @property
    def duration(self) -> float:
        """Seconds, pauses included."""
        return _length(self.sentences)

    @property
    def recording(self) -> str:
        """A hash that names the recording by its sentences' content."""
        parts = [f"joined {_VERSION}", *(row.audio_sha256 for row in self.sentences)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def plan(
    sentences: Sequence[CheckedRow], rows_by_seconds: Mapping[int, int] = ROWS_ON_CPU
) -> tuple[JoinedRow, ...]:
    """Decide which sentences are joined; fewer recordings, or none, where there are too few.

    A sentence of more than half a length is not used for that length. A GPU's recordings begin
    with a CPU's.

    Args:
        sentences: that guard, in the set's own order.
        rows_by_seconds: how many recordings of each length.
    """
    return tuple(
        JoinedRow(seconds, number, joined)
        for seconds, most in rows_by_seconds.items()
        for number, joined in zip(range(most), _fill(sentences, seconds), strict=False)
    )


def _fill(sentences: Iterable[CheckedRow], seconds: int) -> Iterator[tuple[CheckedRow, ...]]:
    joined: list[CheckedRow] = []
    for row in sentences:
        if (row.utterance.duration or 0.0) > seconds / 2:
            continue
        joined.append(row)
        if _length(joined) >= seconds:
            yield tuple(joined)
            joined = []


def _length(sentences: Sequence[CheckedRow]) -> float:
    speech = sum(row.utterance.duration or 0.0 for row in sentences)
    return speech + PAUSE_S * (len(sentences) - 1)


def write(rows: Iterable[JoinedRow], folder: Path) -> None:
    """Write the recordings into a folder; the same bytes each time.

    Raises:
        ValueError: two sentences of a recording have another sample rate; the preflight has
            refused such a set.
    """
    for row in rows:
        samples, rate = _join([sentence.audio for sentence in row.sentences])
        soundfile.write(folder / row.name, samples, rate, subtype="PCM_16")


def _join(paths: Sequence[Path]) -> tuple[Samples, int]:
    parts: list[Samples] = []
    rates: set[int] = set()
    for number, path in enumerate(paths):
        samples, rate = read_16_bits(path)
        if samples.ndim > 1:
            samples = np.round(samples.mean(axis=1)).astype(np.int16)
        rates.add(rate)
        parts.append(samples)
        if number < len(paths) - 1:
            parts.append(_pause(samples, rate, number))
    if len(rates) > 1:
        raise ValueError(f"{paths[0]} and others to be joined have {sorted(rates)} Hz")
    return np.concatenate(parts), rates.pop()


def _pause(samples: Samples, rate: int, seed: int) -> Samples:
    """Return noise at the level of a recording's quietest moment, of one step at the least."""
    frame = max(1, round(_QUIET_S * rate))
    whole = len(samples) // frame * frame
    frames = samples[:whole].astype(np.float64).reshape(-1, frame)
    quietest = float(np.sqrt((frames**2).mean(axis=1)).min()) if whole else 0.0
    noise = np.random.default_rng((_VERSION, seed)).standard_normal(round(PAUSE_S * rate))
    pause = np.round(noise * max(1.0, quietest))
    return np.clip(pause, -32_768, 32_767).astype(np.int16)
