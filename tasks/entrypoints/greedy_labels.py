"""Encodings of several batches as one, and the greedy labels that become of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Encoded:
    """The encoder's output for a batch: (recordings, dimensions, frames), and each one's frames.

    Of a CTC model these are the best label of every frame, (recordings, frames); where phrases are
    boosted, the log-probabilities of every label: (recordings, frames, labels).
    """

    output: torch.Tensor
    lengths: torch.Tensor


@dataclass(frozen=True, slots=True)
class Labels:
    """Greedy labels on the host: (recordings, labels), and how many of them count."""

    ids: torch.Tensor
    lengths: torch.Tensor


class PendingLabels:
    """Labels that a GPU may still compute; other work can be started meanwhile.

    They are copied in the stream's order, before anything that is started afterwards. ``cpu()``
    would wait for them inside of the driver, where no other thread can start a kernel.
    """

    def __init__(self, ids: torch.Tensor, lengths: torch.Tensor) -> None:
        """Start copying labels to the host, behind what computes them.

        Args:
            ids: (recordings, labels), on any device.
            lengths: how many of each recording's labels count.
        """
        self._ids, self._lengths = _start_copy(ids), _start_copy(lengths)
        self._copied: Any = None
        if ids.is_cuda:
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record(torch.cuda.current_stream(ids.device))

    def wait(self) -> Labels:
        """Return the labels when they are here."""
        if self._copied is not None:
            self._copied.synchronize()
        longest = max(1, int(self._lengths.max()))
        return Labels(self._ids[:, :longest], self._lengths)


def _start_copy(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_cuda:
        return tensor
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)


def merge(encoded: Sequence[Encoded]) -> Encoded:
    """Merge several batches into one; pad the shorter ones."""
    if len(encoded) == 1:
        return encoded[0]
    longest = max(batch.output.shape[-1] for batch in encoded)
    rows = sum(len(batch.output) for batch in encoded)
    first = encoded[0].output
    # A transducer's encodings lie in memory as its loop takes them: dimensions together.
    if first.dim() > 2:  # noqa: PLR2004 - a CTC model's best labels have no dimensions
        merged = first.new_zeros((rows, longest, first.shape[1])).transpose(1, 2)
    else:
        merged = first.new_zeros((rows, longest))
    start = 0
    for batch in encoded:
        end = start + len(batch.output)
        merged[start:end, ..., : batch.output.shape[-1]] = batch.output
        start = end
    return Encoded(merged, torch.cat([batch.lengths for batch in encoded]))
