"""A loss that is read a batch later: the number itself, and on a GPU what is not waited for."""

from __future__ import annotations

import sys

import torch

from tasks.runtimes.base import ENTRY
from tests.support.needs import require

sys.path.insert(0, str(ENTRY))
from deferred_scalar import DeferredScalar  # type: ignore[import-not-found]

BATCHES = 8


def test_a_number_is_read_as_it_was() -> None:
    """Also where it is part of a graph."""
    weight = torch.tensor(1.5, requires_grad=True)
    late = DeferredScalar(weight * 2)
    assert late.read() == late.read() == 3.0


def test_reading_does_not_wait_for_the_batch_after() -> None:
    """The GPU has work when the number is there, which is the right one."""
    require("gpu")
    side = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)

    def batch() -> torch.Tensor:
        result = side
        for _ in range(60):  # a tenth of a second on an H100
            result = (side @ result) * 0.01
        return result.float().mean().nan_to_num() + torch.rand((), device="cuda")

    batch()
    torch.cuda.synchronize()
    losses = [batch()]
    late = DeferredScalar(losses[0])
    for number in range(1, BATCHES):
        losses.append(batch())
        read = late.read()
        assert not torch.cuda.current_stream().query(), "it waited for the next batch"
        assert read == float(losses[number - 1])
        late = DeferredScalar(losses[number])
