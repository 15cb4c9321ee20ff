"""Audio to decode, and what one model wrote for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tasks.transcription.variants import AS_IT_IS, Shifts, variant_key

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class AudioSet:
    """Audio to decode.

    Attributes:
        audio: absolute paths.
        durations: seconds, one a file.
        recordings: content hashes, one a file.
        roots: folders that hold all of the audio.
        apart: whether it gets batches and a memory budget of its own, as recordings that are many
            times longer than the others need.
        shifts: of each file, the shifts under which it is decoded, see
            tasks/transcription/variants.py; empty where every file is decoded as it is alone.
    """

    audio: tuple[Path, ...]
    durations: tuple[float, ...]
    recordings: tuple[str, ...]
    roots: tuple[Path, ...]
    apart: bool = False
    shifts: tuple[Shifts, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.audio) == len(self.durations) == len(self.recordings):
            raise ValueError("every audio file needs a duration and a hash")
        if self.shifts and len(self.shifts) != len(self.audio):
            raise ValueError("either every audio file has its shifts, or none")

    @property
    def every_shift(self) -> tuple[Shifts, ...]:
        """The shifts of each file, also where each is decoded as it is."""
        return self.shifts or (AS_IT_IS,) * len(self.audio)

    @property
    def decodes(self) -> int:
        """How many hypotheses the set gets."""
        return sum(map(len, self.every_shift))

    @property
    def decoded_seconds(self) -> float:
        """Seconds of audio that are decoded, each file's as often as it is."""
        pairs = zip(self.durations, self.every_shift, strict=True)
        return sum(seconds * len(shifts) for seconds, shifts in pairs)

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the hypotheses in the store, file by file and shift by shift."""
        pairs = zip(self.recordings, self.every_shift, strict=True)
        return tuple(variant_key(recording, shift) for recording, one in pairs for shift in one)

    def __add__(self, other: AudioSet) -> AudioSet:
        """Return the files of both, this set's first."""
        return AudioSet(
            self.audio + other.audio,
            self.durations + other.durations,
            self.recordings + other.recordings,
            tuple(dict.fromkeys(self.roots + other.roots)),
            shifts=self.every_shift + other.every_shift if self.shifts or other.shifts else (),
        )

    def only(self, places: Sequence[int]) -> AudioSet:
        """Return the files at these places, in their order."""
        return AudioSet(
            tuple(self.audio[place] for place in places),
            tuple(self.durations[place] for place in places),
            tuple(self.recordings[place] for place in places),
            self.roots,
            self.apart,
            tuple(self.shifts[place] for place in places) if self.shifts else (),
        )


# A model, and recordings that it decodes together; see tasks/transcription/sharding.py.
Piece: TypeAlias = tuple[Path, AudioSet]


@dataclass(frozen=True, slots=True)
class Transcript:
    """The transcript of one set by one model.

    Attributes:
        model: the .nemo file.
        hypotheses: in the set's order, of each file as it is.
        decoded: how many of them were decoded now; the others were kept from before.
        audio_seconds: of what was decoded now.
        seconds: that decoding took; loading the model is not counted.
        how: it decoded, in the decoder's own words; "" where nothing was decoded here.
        variants: in the set's order, the hypotheses of each file under its shifts; empty where
            every file was decoded as it is alone.
    """

    model: Path
    hypotheses: tuple[str, ...]
    decoded: int
    audio_seconds: float
    seconds: float
    how: str = ""
    variants: tuple[tuple[str, ...], ...] = ()

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of decoding; 0 where nothing was decoded."""
        return self.audio_seconds / self.seconds if self.seconds else 0.0

    def part(self, start: int, end: int | None = None) -> Transcript:
        """Return the hypotheses of a part of the set, with the whole set's speed."""
        return replace(
            self, hypotheses=self.hypotheses[start:end], variants=self.variants[start:end]
        )
