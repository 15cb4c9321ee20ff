"""Recordings as batches of samples, read ahead by threads while the model is busy.

libsndfile reads without the interpreter's lock, so threads are enough; on a GPU the samples come
in pinned memory, which is copied there without waiting.
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
    from collections.abc import Iterable, Iterator, Sequence

Samples = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class AudioBatch:
    """Samples of some recordings.

    Attributes:
        places: which recordings these are.
        signal: float32 from -1 to 1, shape (recordings, samples), padded with zeros.
        lengths: samples of each before padding, int64.
    """

    places: list[int]
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


class Reader:
    """Reads batches ahead of the one that is being decoded."""

    def __init__(self, audio: Sequence[str], rate: int, readers: int, *, pinned: bool) -> None:
        self._audio = audio
        self._rate = rate
        self._pinned = pinned
        self._files = ThreadPoolExecutor(readers, thread_name_prefix="audio")
        # Putting a batch together waits for its files; it must not take their threads for that.
        self._batches = ThreadPoolExecutor(1, thread_name_prefix="batch")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.shutdown(wait=False, cancel_futures=True)
        self._batches.shutdown(wait=False, cancel_futures=True)

    def batches(self, plan: Iterable[list[int]], ahead: int) -> Iterator[AudioBatch]:
        """Yield the batches of a plan, so many of them read in advance."""
        waiting: deque[Future[AudioBatch]] = deque()
        for places in plan:
            files = [self._files.submit(read, self._audio[place], self._rate) for place in places]
            waiting.append(self._batches.submit(self._batch, places, files))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _batch(self, places: list[int], files: list[Future[Samples]]) -> AudioBatch:
        samples = [file.result() for file in files]
        lengths = [len(row_samples) for row_samples in samples]
        signal = torch.empty(
            (len(samples), max(lengths)), dtype=torch.float32, pin_memory=self._pinned
        )
        rows = signal.numpy()
        for row, row_samples in zip(rows, samples, strict=True):
            row[: len(row_samples)] = row_samples
            row[len(row_samples) :] = 0.0
        return AudioBatch(places, signal, torch.tensor(lengths, dtype=torch.int64))
