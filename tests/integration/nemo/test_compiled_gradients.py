"""What the compiler computes again in the backward pass is what the forward pass computed.

By PyTorch's real compiler, for a CPU: it decides what to keep as it does for a GPU.
"""

# ruff: noqa: PLC0415 - torch and NeMo take ten seconds that collecting tests need not pay

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tasks.runtimes.base import ENTRY

sys.path.insert(0, str(ENTRY))

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FEW = 0.1
"""So small a share of the activations that the compiler computes nearly all of them again."""


LATE = 3
"""A pass behind the first two, with which the later ones are compared."""


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Put the compiler's settings back, and compile anew."""
    import torch
    import torch._functorch.config as partitioning
    import torch._inductor.config as compiler

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    with (
        compiler.patch(joint_custom_post_pass=None),
        partitioning.patch(activation_memory_budget=1.0),
    ):
        yield
    torch.compiler.reset()


@pytest.mark.needs("g++")
def test_fewer_kept_activations_change_no_gradient_though_there_is_dropout() -> None:
    """Loss and gradients of one step are those of a compiler that keeps everything."""
    import torch
    from compiled_encoder import _keep_activations  # type: ignore[import-not-found]
    from torch import nn

    def step(share: float) -> tuple[float, Any]:
        torch.compiler.reset()
        _keep_activations(share)
        torch.manual_seed(1)
        layers = nn.Sequential(
            *(nn.Linear(64, 256), nn.SiLU(), nn.Dropout(0.1), nn.Linear(256, 256), nn.SiLU()),
            *(nn.Dropout(0.1), nn.Linear(256, 64), nn.Dropout(0.1)),
        )
        loss = torch.compile(layers, fullgraph=True)(torch.randn(4, 48, 64)).square().mean()
        loss.backward()
        return loss.item(), [one.grad for one in layers.parameters()]

    all_kept, few_kept = step(1.0), step(FEW)
    assert few_kept[0] == all_kept[0]
    torch.testing.assert_close(few_kept[1], all_kept[1])


def test_a_compiler_that_cannot_keep_its_seeds_keeps_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As an older PyTorch, which has no such pass."""
    import torch._functorch.config as partitioning
    from compiled_encoder import _keep_activations

    _keep_activations(FEW)
    assert partitioning.activation_memory_budget == FEW
    monkeypatch.setitem(sys.modules, "saved_seeds", None)
    _keep_activations(FEW)
    assert partitioning.activation_memory_budget == 1


def test_a_backward_pass_that_draws_is_refused_before_the_first_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a release of PyTorch draws in a way that the marks do not reach."""
    import compiled_encoder
    import torch
    from compiled_rehearsal import (  # type: ignore[import-not-found]
        RedrawnDropoutError,
        rehearse,
    )

    def draw(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * (torch.rand_like(gradient) > FEW)

    def compile_wrongly(function: Any, *_: object) -> Any:
        def run(layer: Any, x: Any, **inputs: Any) -> Any:
            x.register_hook(draw)
            return function(layer, x, **inputs)

        return run

    monkeypatch.setattr(compiled_encoder, "_compile", compile_wrongly)
    compiled = _compiled_encoder(layers=1)
    with pytest.raises(RedrawnDropoutError, match="draws dropout anew"):
        rehearse(compiled)


def test_a_rehearsal_leaves_no_trace() -> None:
    """No gradient, statistic or draw of it is there when training begins."""
    import torch
    from compiled_rehearsal import rehearse

    compiled = _compiled_encoder(layers=1)
    before = {name: value.clone() for name, value in compiled.encoder.state_dict().items()}
    drawn = torch.get_rng_state()
    rehearse(compiled)
    torch.testing.assert_close(dict(compiled.encoder.state_dict()), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert {one.grad for one in compiled.encoder.parameters()} == {None}


def test_gradients_that_are_written_over_are_refused_before_the_first_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a graph writes into memory that nobody has read yet, now and then."""
    import compiled_encoder
    from compiled_rehearsal import (
        OverwrittenGradientError,
        rehearse,
    )

    passes = iter(range(9))

    def compile_wrongly(function: Any, *_: object) -> Any:
        def run(layer: Any, x: Any, **inputs: Any) -> Any:
            def write_over(_: object) -> None:
                layer.feed_forward1.linear1.weight.grad.fill_(1.0)

            if next(passes) == LATE:
                x.register_hook(write_over)
            return function(layer, x, **inputs)

        return run

    monkeypatch.setattr(compiled_encoder, "_compile", compile_wrongly)
    compiled = _compiled_encoder(layers=1)
    with pytest.raises(OverwrittenGradientError, match=r"0\.feed_forward1\.linear1\.weight"):
        rehearse(compiled)
    assert {one.grad for one in compiled.encoder.parameters()} == {None}


def test_a_layers_backward_pass_waits_until_the_gradients_behind_it_were_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its CUDA graph may write where they lie, and who reads them may be in another stream."""
    import gradient_readers  # type: ignore[import-not-found]
    import torch

    compiled = _compiled_encoder(layers=3)
    layers = compiled.encoder.layers
    waits = []

    def look(*_: object) -> None:
        waits.append([{p.grad is not None for p in layer.parameters()} for layer in layers])

    monkeypatch.setattr(gradient_readers.GradientReaders, "_wait", look)
    compiled.encoder.train()
    features = torch.randn(4, 80, 400)
    encoded, _ = compiled.encoder(audio_signal=features, length=torch.full((4,), 400))
    encoded.square().mean().backward()
    none, all_read = {False}, {True}
    assert waits == [
        [none, none, none],
        [none, none, all_read],
        [none, all_read, all_read],
    ]


def _compiled_encoder(layers: int) -> Any:
    """Return a small encoder whose layers are compiled, by a backend that any machine has."""
    import compiled_encoder
    from nemo.collections.asr.modules import ConformerEncoder
    from padded_shapes import choose_shapes  # type: ignore[import-not-found]

    encoder = ConformerEncoder(
        feat_in=80,
        n_layers=layers,
        d_model=64,
        n_heads=4,
        subsampling="dw_striding",
        subsampling_factor=8,
        subsampling_conv_channels=32,
    )
    shapes = choose_shapes([4.0] * 4, 4, 0.08)
    compiled = compiled_encoder.CompiledEncoder(encoder, shapes, backend="aot_eager", mode=None)
    compiled.install()
    return compiled
