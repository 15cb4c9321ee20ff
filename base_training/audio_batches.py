"""The corpus on the GPU: batches of similar length, and noise mixed in where the speech lies.

The whole corpus is kept as int16 in the GPU's memory (115 MB an hour), so a batch costs one
gather instead of a data loader.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SAMPLE_RATE = 16_000
#: Batches are padded to multiples of this many samples, so that few shapes occur.
GRAIN = 4_000
#: Share of utterances that get noise, and the range of its level.
NOISY_SHARE = 0.55
SNR_DB = (3.0, 30.0)
TALKERS = 5


@dataclass(frozen=True)
class TrainingBatch:
    """Padded utterances.

    Attributes:
        audio: float32 (utterances, samples).
        lengths: int64 (utterances,), in samples.
        tokens: int64 (utterances, tokens).
        host_lengths: ``lengths`` once more, in the CPU's memory: asking the GPU would stall it.
        host_token_lengths: int64 (utterances,), in the CPU's memory.
    """

    audio: torch.Tensor
    lengths: torch.Tensor
    tokens: torch.Tensor
    host_lengths: torch.Tensor
    host_token_lengths: torch.Tensor


class Corpus:
    """All spoken utterances so far, on one device."""

    def __init__(
        self, folder: Path, encode: Callable[[int], list[int]], device: torch.device
    ) -> None:
        """Start empty.

        Args:
            folder: Where shards appear.
            encode: Gives the tokens of the text's line with this index.
            device: Where the samples are kept.
        """
        self._folder = folder
        self._encode = encode
        self._device = device
        self._read: set[Path] = set()
        self._audio = torch.zeros(0, dtype=torch.int16, device=device)
        self._lengths = np.zeros(0, np.int64)
        self._tokens: list[list[int]] = []

    @property
    def hours(self) -> float:
        """Speech at hand."""
        return len(self._audio) / SAMPLE_RATE / 3600

    def refresh(self) -> None:
        """Take in the shards that have appeared since the last call."""
        new = sorted(set(self._folder.glob("shard_*.npz")) - self._read)
        if not new:
            return
        self._read.update(new)
        shards = []
        for path in new:
            with np.load(path) as shard:
                shards.append(torch.from_numpy(shard["audio"]).to(self._device))
                self._lengths = np.concatenate([self._lengths, shard["lengths"]])
                self._tokens += [self._encode(int(line)) for line in shard["lines"]]
        self._audio = torch.cat([self._audio, *shards])
        starts = np.cumsum(self._lengths) - self._lengths
        self._starts = torch.from_numpy(starts).to(self._device)
        self._sizes = torch.from_numpy(self._lengths.copy()).to(self._device)
        sizes = np.array([len(tokens) for tokens in self._tokens])
        padded = np.zeros((len(sizes), sizes.max()), np.int64)
        for row, tokens in zip(padded, self._tokens, strict=True):
            row[: len(tokens)] = tokens
        self._padded = torch.from_numpy(padded).to(self._device)
        self._token_sizes = sizes

    def epoch(
        self, batch_seconds: float, rng: np.random.Generator, longest_seconds: float = math.inf
    ) -> Iterator[TrainingBatch]:
        """Yield every utterance once, in batches of similar length and about equal cost.

        Args:
            batch_seconds: Padded audio in a batch.
            rng: Shuffles.
            longest_seconds: Utterances longer than this sit out.
        """
        # Jitter keeps the batches from being the same ones every time.
        order = np.argsort(self._lengths * rng.uniform(0.9, 1.1, len(self._lengths)))
        order = order[self._lengths[order] <= longest_seconds * SAMPLE_RATE]
        budget = int(batch_seconds * SAMPLE_RATE)
        cuts, longest, first = [], 0, 0
        for position, index in enumerate(order):
            longest = max(longest, int(self._lengths[index]))
            if (position + 1 - first) * longest > budget and position > first:
                cuts.append(order[first:position])
                first, longest = position, int(self._lengths[index])
        cuts.append(order[first:])
        for number in rng.permutation(len(cuts)):
            yield self._batch(cuts[number])

    def _batch(self, places: np.ndarray) -> TrainingBatch:
        samples = -(-int(self._lengths[places].max()) // GRAIN) * GRAIN
        width = int(self._token_sizes[places].max())
        rows = torch.from_numpy(places)
        if self._device.type == "cuda":
            rows = rows.pin_memory().to(self._device, non_blocking=True)
        lengths = self._sizes[rows]
        place = torch.arange(samples, device=self._device)
        index = (self._starts[rows, None] + place).clamp_(max=len(self._audio) - 1)
        audio = self._audio[index].float() / 32768
        audio *= place < lengths[:, None]
        return TrainingBatch(
            audio=audio,
            lengths=lengths,
            tokens=self._padded[rows, :width],
            host_lengths=torch.from_numpy(self._lengths[places]),
            host_token_lengths=torch.from_numpy(self._token_sizes[places]),
        )


def add_noise(audio: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Mix noise into about half of a batch: anything from white to red, from babble to none.

    Args:
        audio: float32 (utterances, samples), zero beyond each one's length.
        lengths: int64 (utterances,), in samples.
    """
    rows, samples = audio.shape
    device = audio.device

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.empty(rows, 1, device=device).uniform_(low, high)

    spectrum = torch.fft.rfft(torch.randn(rows, samples, device=device))
    frequency = torch.arange(1, spectrum.shape[1] + 1, device=device, dtype=torch.float32)
    colour = torch.fft.irfft(spectrum * frequency ** -uniform(0.0, 0.75), samples)
    babble = torch.zeros_like(audio)
    for _ in range(TALKERS):
        shift = int(torch.randint(samples, (1,)))
        babble += audio[torch.randperm(rows, device=device)].roll(shift, dims=1)
    share = (uniform(-0.5, 1.5)).clamp_(0, 1)
    noise = (1 - share).sqrt() * _unit(colour) + share.sqrt() * _unit(babble)
    power = audio.square().sum(1, keepdim=True) / lengths[:, None]
    gain = (power * 10 ** (-uniform(*SNR_DB) / 10)).sqrt() * (uniform(0, 1) < NOISY_SHARE)
    inside = torch.arange(samples, device=device) < lengths[:, None]
    return audio + gain * noise * inside


def _unit(signal: torch.Tensor) -> torch.Tensor:
    """Scale each row to a mean power of one; shape (utterances, samples)."""
    return signal * signal.square().mean(1, keepdim=True).clamp_min(1e-10).rsqrt()
