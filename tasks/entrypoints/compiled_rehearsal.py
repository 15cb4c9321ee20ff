"""Every shape of a compiled encoder is run before the first batch: compiled, recorded, checked.

Two faults of compiled layers leave losses right and gradients wrong, so that a training only learns
less: dropout that the backward pass draws anew (saved_seeds.py), and gradients that a graph
overwrites before they are read (gradient_readers.py). Both are looked for here, on the machine that
trains, by what reads gradients in the training.
"""

from __future__ import annotations

import random
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from compiled_encoder import begin_step  # type: ignore[import-not-found]  # lies beside this file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compiled_encoder import CompiledEncoder

_SEED = 7
_REPEATS = 3
_MOST_APART = 0.1
"""Of a weight's gradient, between two passes of one batch with the same draws."""
_NEGLIGIBLE = 1e-2
"""Of the mean weight's gradient: a bias before a norm or a softmax has none but rounding."""


class RedrawnDropoutError(RuntimeError):
    """The compiled backward pass draws random numbers, so that its dropout is not the forward's."""


class OverwrittenGradientError(RuntimeError):
    """Gradients of one batch differ between two passes: what was read had been written over."""


def rehearse(compiled: CompiledEncoder, precision: Callable[[], Any] = nullcontext) -> None:
    """Run every shape forward and backward: compile, record, check, and leave no trace.

    Running statistics, gradients and generators are afterwards what they were before. The largest
    shape comes first, so that the graphs of the others fit into its memory.

    Args:
        compiled: is installed; its encoder's parameters are those that train, prepared for DDP.
        precision: the context of a training step.

    Raises:
        RedrawnDropoutError: the gradients would not be those of the loss.
        OverwrittenGradientError: the gradients would be those of another layer, now and then.
    """
    encoder = compiled.encoder
    on_gpu = next(encoder.parameters()).is_cuda
    compiled.rehearsing = True
    with _unchanged(encoder), torch.enable_grad():
        encoder.train()
        for frames in reversed(compiled.shapes.frames):
            # The first run compiles, the second one records, the third one replays.
            for _ in range(3 if on_gpu else 1):
                _run_once(compiled, frames, precision)
            _check_gradients(compiled, frames, precision)
        if on_gpu:
            torch.cuda.synchronize()
    compiled.rehearsing = False


def _run_once(compiled: CompiledEncoder, frames: int, precision: Callable[[], Any]) -> None:
    """Run one shape forward and backward on silence, and see that the backward pass draws nothing.

    Only of the features: no gradient of a weight outlives its layer's pass, as in a training whose
    gradients are copied away.
    """
    features = _features(compiled, frames).zero_().requires_grad_()
    encoded = _encode(compiled, features, precision)
    drawn = _generator_state(features.device)
    torch.autograd.grad(encoded.float().sum(), [features])
    if not torch.equal(drawn, _generator_state(features.device)):
        raise RedrawnDropoutError(
            "the backward pass draws dropout anew, so its gradients would be wrong"
        )


def _check_gradients(compiled: CompiledEncoder, frames: int, precision: Callable[[], Any]) -> None:
    """Compare the gradients of one batch by some passes with those of a first one.

    In the first one everything waits for everything, and the streams that read gradients are found.
    """
    parameters = [one for one in compiled.encoder.parameters() if one.requires_grad]
    layers = dict(compiled.encoder.layers.named_parameters())
    found = [parameter.grad for parameter in parameters]
    try:
        _accumulate(compiled, parameters, frames, precision)
        first = {name: one.grad.clone() for name, one in layers.items() if one.grad is not None}
        compiled.readers.begin_step()
        for _ in range(_REPEATS if first else 0):
            _accumulate(compiled, parameters, frames, precision)
            _require_alike(first, layers)
    finally:
        for parameter, before in zip(parameters, found, strict=True):
            parameter.grad = before


def _accumulate(
    compiled: CompiledEncoder,
    parameters: list[torch.nn.Parameter],
    frames: int,
    precision: Callable[[], Any],
) -> None:
    """Add the gradients of one batch of noise to zeros, with the same draws each time."""
    for parameter in parameters:
        # Memory of its own: a graph's would be overwritten before it could be compared.
        parameter.grad = torch.zeros_like(parameter)
    torch.manual_seed(_SEED)
    random.seed(_SEED)
    encoded = _encode(compiled, _features(compiled, frames).normal_(), precision).float()
    (encoded * torch.randn_like(encoded)).mean().backward()  # type: ignore[no-untyped-call]


def _require_alike(first: dict[str, torch.Tensor], layers: dict[str, Any]) -> None:
    """Refuse gradients that differ from the first ones.

    Raises:
        OverwrittenGradientError: names a parameter.
    """
    norms = torch.stack([gradient.float().norm() for gradient in first.values()])
    apart = torch.stack(
        [(layers[name].grad - gradient).float().norm() for name, gradient in first.items()]
    )
    shares = apart / (norms + _NEGLIGIBLE * norms.mean())
    # Not "some are over": what is no number is not alike either.
    if not bool((shares <= _MOST_APART).all()):
        worst = list(first)[int(shares.nan_to_num(nan=torch.inf).argmax())]
        raise OverwrittenGradientError(
            f"the gradient of {worst} is another one when the same batch runs again, so gradients "
            "would be wrong"
        )


def _features(compiled: CompiledEncoder, frames: int) -> torch.Tensor:
    """Return room for a batch of features that the encoder makes so many frames of."""
    encoder = compiled.encoder
    length = (frames - 1) * int(encoder.subsampling_factor)
    bins = encoder._feat_in  # noqa: SLF001 - it has no other name
    device = next(encoder.parameters()).device
    return torch.empty(compiled.shapes.rows, bins, length, device=device)


def _encode(
    compiled: CompiledEncoder, features: torch.Tensor, precision: Callable[[], Any]
) -> torch.Tensor:
    begin_step()
    rows, _, length = features.shape
    lengths = torch.full((rows,), length, device=features.device)
    with precision():
        encoded: torch.Tensor = compiled.encoder(audio_signal=features, length=lengths)[0]
    return encoded


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
