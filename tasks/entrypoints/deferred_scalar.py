"""A number that a GPU computes, read without holding up what is queued behind it."""

from __future__ import annotations

import torch


class DeferredScalar:
    """A number whose copy is queued now and waited for when it is read.

    Reading a tensor of the GPU copies it then, behind everything that was queued since: that waits
    for the next batch too, and the GPU runs dry before it gets more. The copy that is queued here
    is done as soon as its own batch is.
    """

    def __init__(self, value: torch.Tensor) -> None:
        """Queue the copy.

        Args:
            value: 0-d, on any device.
        """
        self._value = value.detach()
        self._copied: torch.cuda.Event | None = None
        if value.is_cuda:
            host_copy = torch.empty_like(self._value, device="cpu", pin_memory=True)
            self._value = host_copy.copy_(self._value, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def read(self) -> float:
        """Return the number, as soon as it is there."""
        if self._copied is not None:
            self._copied.synchronize()
        return float(self._value)
