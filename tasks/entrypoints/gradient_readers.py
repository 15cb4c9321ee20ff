"""Gradients are read before the next layer's CUDA graph writes where they lie.

What a graph returns lies in memory that the next graph of the same step may use again. That is safe
for whoever reads in the stream of the graphs. But PyTorch adds a gradient to its parameter in the
stream in which the parameter was first prepared for it. Lightning makes DDP in a stream of its own
(Lightning#21567). Plain PyTorch keeps memory that another stream still reads; of a graph's memory
it knows nothing. So a layer's graph overwrote gradients of the layer behind it before they were
read: whole weights of the 617M graph had gradients of 1.0 in the place of 0.00001.

Here the backward pass of each layer waits, on the GPU, for those streams. PyTorch adds gradients to
parameters before it begins any other pass that is ready, so there is nothing else to wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable


class GradientReaders:
    """The streams in which gradients of some parameters are read, and a wait for them.

    The first backward pass finds the streams. Until it has ended, everything waits for everything.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Watch where the gradients of these parameters are read; on a CPU there is one place."""
        self._streams: set[Any] = set()
        self._watching = [
            parameter.register_post_accumulate_grad_hook(self._find)  # type: ignore[no-untyped-call]
            for parameter in parameters
            if parameter.requires_grad and parameter.is_cuda
        ]

    def _find(self, parameter: torch.Tensor) -> None:
        self._streams.add(torch.cuda.current_stream(parameter.device))

    def begin_step(self) -> None:
        """Stop looking for streams once a backward pass has shown them."""
        if self._streams:
            self.remove()

    def remove(self) -> None:
        """Watch no parameter any more."""
        for hook in self._watching:
            hook.remove()
        self._watching = []

    def await_before_backward(self, made: Any) -> None:  # noqa: ANN401 - what a layer returns
        """Have the backward pass of what a layer made wait for those who read other gradients."""
        if isinstance(made, torch.Tensor) and made.requires_grad:
            made.register_hook(self._wait)  # type: ignore[no-untyped-call]

    def _wait(self, gradient: torch.Tensor) -> None:
        if not gradient.is_cuda:
            return
        if self._watching:
            torch.cuda.synchronize(gradient.device)
            return
        current = torch.cuda.current_stream(gradient.device)
        for stream in self._streams:
            if stream != current:
                current.wait_stream(stream)
