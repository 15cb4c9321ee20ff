"""Every shape of a compiled encoder is run before the first batch: compiled, recorded, checked."""

from __future__ import annotations

import random
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from compiled_encoder import begin_step  # type: ignore[import-not-found]  # lies beside this file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compiled_encoder import CompiledEncoder


class RedrawnDropoutError(RuntimeError):
    """The compiled backward pass draws random numbers, so that its dropout is not the forward's."""


def rehearse(compiled: CompiledEncoder, precision: Callable[[], Any] = nullcontext) -> None:
    """Run every shape forward and backward on silence: compile, record, and leave no trace.

    Running statistics, gradients and generators are afterwards what they were before. The largest
    shape comes first, so that the graphs of the others fit into its memory.

    Args:
        compiled: is installed.
        precision: the context of a training step.

    Raises:
        RedrawnDropoutError: the gradients would not be those of the loss.
    """
    encoder = compiled.encoder
    some = next(encoder.parameters())
    compiled.rehearsing = True
    with _unchanged(encoder), torch.enable_grad():
        encoder.train()
        for frames in reversed(compiled.shapes.frames):
            length = (frames - 1) * int(encoder.subsampling_factor)
            # The first run compiles, the second one records, the third one replays.
            for _ in range(3 if some.is_cuda else 1):
                begin_step()
                features = torch.zeros(
                    compiled.shapes.rows,
                    encoder._feat_in,  # noqa: SLF001 - it has no other name
                    length,
                    device=some.device,
                ).requires_grad_()
                lengths = torch.full((compiled.shapes.rows,), length, device=some.device)
                with precision():
                    encoded, _ = encoder(audio_signal=features, length=lengths)
                drawn = _generator_state(some.device)
                # Of the features alone: no gradient of a weight outlives its layer's pass, as in
                # a training whose gradients are copied away.
                torch.autograd.grad(encoded.float().sum(), [features])
            if not torch.equal(drawn, _generator_state(some.device)):
                raise RedrawnDropoutError(
                    "the backward pass draws dropout anew, so its gradients would be wrong"
                )
        if some.is_cuda:
            torch.cuda.synchronize()
    compiled.rehearsing = False


def _generator_state(device: torch.device) -> torch.Tensor:
    """Return what a draw of random numbers on a device changes."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.get_rng_state()


@contextmanager
def _unchanged(encoder: Any) -> Iterator[None]:  # noqa: ANN401
    """Put buffers, modes and generators back afterwards."""
    # A checkpoint has no others; masks and tables of positions may grow.
    saved = {name: buffer.clone() for name, buffer in encoder.named_buffers() if "norm" in name}
    modes = {module: module.training for module in encoder.modules()}
    state = random.getstate()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(state)
        for module, training in modes.items():
            module.training = training
        with torch.no_grad():
            for name, buffer in encoder.named_buffers():
                if name in saved:
                    buffer.copy_(saved[name])
