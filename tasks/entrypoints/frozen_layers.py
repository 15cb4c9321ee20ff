"""Lower layers of an encoder that are not trained.

Terms are learnt by the upper layers. What the lower ones and the norms learn costs general English
(docs/log/2026-11-30-mixed-by-depth.md). A layer that is not trained needs no backward pass either.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import lightning.pytorch as pl
import torch

BATCH_NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.SyncBatchNorm)
_NORMS = (*BATCH_NORMS, torch.nn.LayerNorm, torch.nn.GroupNorm)


class FreezeCallback(pl.Callback):
    """Freezes before Lightning wraps the model: DDP waits for each gradient it knows of."""

    def __init__(self, share: float) -> None:
        """Take the share of the encoder's layers, over 0 and under 1."""
        self._share = share

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ANN401, ARG002
        """Freeze, and tell in one line what is frozen."""
        layers, of = freeze(pl_module, self._share)
        print(f"frozen: {layers} of {of} layers of the encoder, and all norms", flush=True)


def freeze(model: Any, share: float) -> tuple[int, int]:  # noqa: ANN401 - NeMo ships no types
    """Freeze the lower layers of a model's encoder, what lies before them, and all norms.

    A batch norm still normalises by its batch, as in the training of the base. Its statistics stay
    as they are.

    Args:
        model: whose encoder has ``layers``.
        share: of the layers, rounded down.

    Returns:
        How many layers are frozen, and of how many.

    Raises:
        SystemExit: the encoder has no layers, or so few that none would be frozen.
    """
    encoder = model.encoder
    layers = list(getattr(encoder, "layers", None) or ())
    frozen = math.floor(share * len(layers))
    if not frozen:
        sys.exit(
            f"frozen_share {share:g}: of the {len(layers)} layers of this encoder none would be "
            "frozen. Fix: take a recipe without it, such as verified."
        )
    encoder.requires_grad_(False)
    for layer in layers[frozen:]:
        layer.requires_grad_()
    for module in model.modules():
        if isinstance(module, _NORMS):
            module.requires_grad_(False)
        if isinstance(module, BATCH_NORMS):
            module.momentum = 0.0
    return frozen, len(layers)
