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
    from nemo.collections.asr.modules import ConformerEncoder
    from padded_shapes import choose_shapes  # type: ignore[import-not-found]

    def draw(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * (torch.rand_like(gradient) > FEW)

    def compile_wrongly(function: Any, *_: object) -> Any:
        def run(layer: Any, x: Any, **inputs: Any) -> Any:
            x.register_hook(draw)
            return function(layer, x, **inputs)

        return run

    monkeypatch.setattr(compiled_encoder, "_compile", compile_wrongly)
    encoder = ConformerEncoder(
        feat_in=80,
        n_layers=1,
        d_model=64,
        n_heads=4,
        subsampling="dw_striding",
        subsampling_factor=8,
        subsampling_conv_channels=32,
    )
    compiled = compiled_encoder.CompiledEncoder(encoder, choose_shapes([4.0] * 4, 4, 0.08))
    compiled.install()
    with pytest.raises(compiled_encoder.RedrawnDropoutError, match="draws dropout anew"):
        compiled_encoder.rehearse(compiled)
