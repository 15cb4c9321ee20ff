"""Dropout that the compiler computes again is the forward pass's dropout.

PyTorch's compiler draws one seed for each dropout of a layer, and computes the masks from the
seeds. Told to keep fewer activations, it may take the drawing for one more thing that the backward
pass can do again. Then the masks are others than those of the forward pass: the loss is right, and
the gradients are wrong by 40% with a dropout of 0.1. Seen with PyTorch 2.11 and 2.13.

Here the seeds are marked as values that must be kept.
"""

from __future__ import annotations

from typing import Any

import torch
import torch._inductor.config as compiler
from torch._inductor.custom_graph_pass import CustomGraphPass
from torch.utils.checkpoint import CheckpointPolicy

_SETTING = "joint_custom_post_pass"
"""Of the graph of both passes, after the compiler has put its own operators for random ones."""
_DRAWS = ("inductor_seed", "inductor_seeds")


class _KeepSeeds(CustomGraphPass):
    """Marks what draws seeds, before the compiler decides what is kept."""

    def __call__(self, graph: Any) -> None:  # noqa: ANN401 - torch.fx.Graph
        drawing = {
            packet.default
            for name in _DRAWS
            if (packet := getattr(torch.ops.prims, name, None)) is not None
        }
        for node in graph.nodes:
            if node.target in drawing:
                node.meta["recompute"] = CheckpointPolicy.MUST_SAVE

    def uuid(self) -> str:
        """Return what tells this pass from others in the compiler's cache."""
        return "keep seeds of dropout, 1"


def keep_seeds() -> bool:
    """Have the compiler keep its seeds; whether this release can be told so."""
    if not hasattr(compiler, _SETTING) or not hasattr(CheckpointPolicy, "MUST_SAVE"):
        return False
    settings: Any = compiler
    settings.joint_custom_post_pass = _KeepSeeds()
    return True
