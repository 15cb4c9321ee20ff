"""Recordings as batches of samples, read ahead by threads while the model is busy.

libsndfile reads without the interpreter's lock, so threads are enough, each with a share of a
batch's files; on a GPU the samples come in pinned memory, which is copied there without waiting.
Recordings of 16 bits stay so until they are there: half the bytes, and the same numbers.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import soundfile
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

Samples = np.ndarray[Any, np.dtype[Any]]
"""Of one recording: float32 from -1 to 1, or int16."""
FULL_SCALE = 1 << 15
"""Of int16; libsndfile divides by it as well."""

PLAIN = 0
"""The shift of the recording as it is."""


@dataclass(frozen=True, slots=True)
class AudioBatch:
    """Samples of some recordings, or of variants of them.

    Attributes:
        places: which recordings these are.
        shifts: of each: samples of silence before it.
        signal: float32 from -1 to 1, or int16, shape (recordings, samples), padded with zeros.
        lengths: samples of each before padding, int64.
    """

    places: list[int]
    shifts: list[int]
    signal: torch.Tensor
    lengths: torch.Tensor


def read(path: str, rate: int) -> Samples:
    """Read a recording as one channel at the model's sample rate.

    Raises:
        soundfile.SoundFileError: it cannot be read.
    """
    samples, file_rate = soundfile.read(path, dtype="float32", always_2d=False)
    if samples.ndim > 1:
        samples = samples.mean(axis=1, dtype=np.float32)
    if file_rate != rate:
        import soxr  # noqa: PLC0415 - comes with librosa, which NeMo needs

        samples = soxr.resample(samples, file_rate, rate)
    return np.ascontiguousarray(samples, dtype=np.float32)


def read_compactly(path: str, rate: int) -> Samples:
    """Read a recording as ``read`` does; as int16 where the file holds no more than that.

    Raises:
        soundfile.SoundFileError: it cannot be read.
    """
    with soundfile.SoundFile(path) as file:
        if file.channels == 1 and file.samplerate == rate and file.subtype == "PCM_16":
            samples: Samples = file.read(dtype="int16")
            return samples
    return read(path, rate)


def write_shifted(path: str, shift: int, rate: int, folder: Path) -> str:
    """Write a recording with silence before it, for a model that reads files; return its path.

    Raises:
        soundfile.SoundFileError: it cannot be read.
    """
    samples = np.concatenate([np.zeros(shift, np.float32), read(path, rate)])
    shifted = folder / f"{len(list(folder.iterdir()))}.wav"
    soundfile.write(shifted, samples, rate, subtype="FLOAT")
    return str(shifted)


class Reader:
    """Reads batches ahead of the one that is being decoded."""

    def __init__(self, audio: Sequence[str], rate: int, readers: int, *, pinned: bool) -> None:
        self._audio = audio
        self._rate = rate
        self._pinned = pinned
        self._readers = readers
        self._files = ThreadPoolExecutor(readers, thread_name_prefix="audio")
        # Putting a batch together waits for its files; it must not take their threads for that.
        self._batches = ThreadPoolExecutor(1, thread_name_prefix="batch")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.shutdown(wait=False, cancel_futures=True)
        self._batches.shutdown(wait=False, cancel_futures=True)

    def batches(
        self,
        plan: Iterable[list[int]],
        ahead: int,
        variants: Callable[[list[int]], list[list[tuple[int, int]]]] | None = None,
    ) -> Iterator[AudioBatch]:
        """Yield the batches of a plan, so many of them read in advance.

        Args:
            plan: places of the recordings of each batch.
            ahead: how many are read in advance.
            variants: returns the batches that are made of one batch's recordings, each a list of
                places and shifts; by default one of all recordings as they are.
        """
        waiting: deque[Future[list[AudioBatch]]] = deque()
        for places in plan:
            wanted = [[(n, PLAIN) for n in places]] if variants is None else variants(places)
            # A task for each thread, not for each file: they all need the interpreter's lock.
            shares = [places[start :: self._readers] for start in range(self._readers)]
            files = [self._files.submit(self._read, share) for share in shares if share]
            waiting.append(self._batches.submit(self._make, wanted, files))
            if len(waiting) > ahead:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()

    def _read(self, places: list[int]) -> dict[int, Samples]:
        read_file = read_compactly if self._pinned else read
        return {place: read_file(self._audio[place], self._rate) for place in places}

    def _make(
        self, wanted: list[list[tuple[int, int]]], files: list[Future[dict[int, Samples]]]
    ) -> list[AudioBatch]:
        samples = {place: one for file in files for place, one in file.result().items()}
        return [self._batch(one, samples) for one in wanted]

    def _batch(self, wanted: list[tuple[int, int]], samples: dict[int, Samples]) -> AudioBatch:
        lengths = [len(samples[place]) + shift for place, shift in wanted]
        compact = all(samples[place].dtype == np.int16 for place, _ in wanted)
        signal = torch.empty(
            (len(wanted), max(lengths)),
            dtype=torch.int16 if compact else torch.float32,
            pin_memory=self._pinned,
        )
        for row, (place, shift), end in zip(signal.numpy(), wanted, lengths, strict=True):
            row[:shift] = 0
            one = samples[place]
            row[shift:end] = one if compact or one.dtype != np.int16 else one / FULL_SCALE
            row[end:] = 0
        places, shifts = map(list, zip(*wanted, strict=True))
        return AudioBatch(places, shifts, signal, torch.tensor(lengths, dtype=torch.int64))
