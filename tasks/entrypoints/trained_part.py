"""The part of an encoder that a training with frozen lower layers changes."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import frozen_layers  # type: ignore[import-not-found]  # lies beside this file
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

# What the layers get of a sentence depends on nothing else where positions are relative.
_RELATIVE_POSITIONS = frozenset(("rel_pos", "rel_pos_local_attn"))


class TrainedPart:
    """The part of an encoder that is trained, with the encoder's own parameters, as it decodes.

    The frozen layers below give the same for a sentence in every step, so they need not be computed
    again.

    Attributes:
        below: frozen layers that are left out; with none of them the encoder is whole.
        encoder: takes what its first layer gets, or features: (recordings, dimensions, frames).
    """

    def __init__(self, encoder: Any) -> None:  # noqa: ANN401
        """Leave out what is frozen now.

        Args:
            encoder: of a model of NeMo.
        """
        self.below = _frozen_below(encoder)
        shared = {id(one): one for one in (*encoder.parameters(), *encoder.buffers())}
        self.encoder = copy.deepcopy(encoder, shared).eval()
        if self.below:
            self.encoder.layers = self.encoder.layers[self.below :]
            self.encoder.pre_encode = _Unscaled(getattr(encoder.pos_enc, "xscale", None) or 1.0)
            self.encoder._feat_in = encoder.d_model  # noqa: SLF001 - NeMo compares it

    @contextmanager
    def watching(self, encoder: Any) -> Iterator[list[torch.Tensor]]:  # noqa: ANN401
        """Gather what the first trained layer gets while the whole encoder computes.

        Nothing is gathered where no layer is left out.
        """
        seen: list[torch.Tensor] = []
        if not self.below:
            yield seen
            return
        hook = encoder.layers[self.below].register_forward_pre_hook(
            lambda _, __, named: seen.append(named["x"]), with_kwargs=True
        )
        try:
            yield seen
        finally:
            hook.remove()


class _Unscaled(torch.nn.Module):
    """Stands before the layers and takes back the scale that the positions' encoding brings in."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self._scale = scale

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (recordings, frames, dimensions) and the frames of each."""
        return x / self._scale, lengths


def _frozen_below(encoder: Any) -> int:  # noqa: ANN401
    """Return how many of the first layers give the same in every step, decoding."""
    layers = list(getattr(encoder, "layers", None) or ())
    whole = getattr(encoder, "reduction_position", None) is None
    if getattr(encoder, "self_attention_model", None) not in _RELATIVE_POSITIONS or not whole:
        return 0
    if _changes(encoder.pre_encode):
        return 0
    return next((place for place, layer in enumerate(layers) if _changes(layer)), 0)


def _changes(module: torch.nn.Module) -> bool:
    """Return whether training changes a module's weights or its batch norms' statistics."""
    return any(one.requires_grad for one in module.parameters()) or any(
        isinstance(one, frozen_layers.BATCH_NORMS) and one.momentum != 0.0
        for one in module.modules()
    )
