"""oneDNN's packed matrix products on a CPU: the results are PyTorch's."""

# ruff: noqa: PLC0415 - torch and NeMo take ten seconds that collecting tests need not pay

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tasks.models.catalog import resolve
from tasks.runtimes.base import ENTRY

# The programs of tasks/entrypoints find each other beside themselves.
sys.path.insert(0, str(ENTRY))

if TYPE_CHECKING:
    import pytest


def test_matrix_products_on_a_cpu_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By oneDNN, with the same results; where this PyTorch lacks the operator, nothing changes."""
    import onednn_linear  # type: ignore[import-not-found]
    import torch
    from greedy_decoder import restore  # type: ignore[import-not-found]

    encoder = restore(str(resolve("embedded")), "cpu").encoder
    heard = torch.randn(2, 80, 200), torch.tensor([200, 150])

    def encoded() -> Any:
        with torch.inference_mode():
            return encoder(audio_signal=heard[0], length=heard[1])[0]

    plain = encoded()
    with monkeypatch.context() as old:
        # As a release without it answers.
        old.setattr(torch, "ops", SimpleNamespace(mkldnn=SimpleNamespace()))
        assert onednn_linear.use_onednn_linears(encoder) == 0
    assert torch.equal(encoded(), plain)
    linear = sum(type(one) is torch.nn.Linear for one in encoder.modules())
    assert onednn_linear.use_onednn_linears(encoder) > linear
    assert not any(type(one) is torch.nn.Linear for one in encoder.modules())
    assert torch.allclose(encoded(), plain, atol=1e-3)
