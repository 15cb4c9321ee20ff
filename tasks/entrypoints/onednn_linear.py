"""Linear layers of a model on a CPU, computed by oneDNN with weights laid out for it once.

PyTorch hands 32-bit matrix products on a CPU to MKL, which on AMD took twice as long as oneDNN
(docs/speed.md has the figures); PyTorch carries oneDNN for convolutions anyway. Its operator is the
one that PyTorch's own compiler puts in place of a linear layer whose weights are frozen. Sums are
added in another order, so that results differ in the last bits, as they do between two processors.
"""

from __future__ import annotations

from typing import Any

import torch

# Rows for which weights are laid out; others are computed as well.
_ROWS = 1024


def is_available() -> bool:
    """Return whether this PyTorch multiplies by oneDNN with a layout of its own, on this CPU."""
    available: Any = torch.backends.mkldnn.is_available
    if not available():
        return False
    weight = torch.eye(8)
    try:
        product = multiply_and_add(weight, lay_out(weight), None, weight)
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(product, 2 * weight)


def lay_out(weight: torch.Tensor) -> torch.Tensor:
    """Lay the weights of a product out, (outputs, inputs)."""
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(  # noqa: SLF001 - the compiler's
        weight.contiguous(), _ROWS
    )
    return packed


def multiply(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "none"
) -> torch.Tensor:
    """Return a product, activated by "relu" or "swish" if asked.

    Args:
        x: (..., inputs).
        weight: as ``lay_out`` returns it.
        bias: (outputs), or None.
        activation: one that oneDNN adds to a product.
    """
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001 - the compiler's
        x, weight, bias, activation, [], ""
    )
    return product


def multiply_and_add(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, addend: torch.Tensor
) -> torch.Tensor:
    """Return a product plus a tensor of its shape."""
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(  # noqa: SLF001 - likewise
        x, addend, weight, bias, "add"
    )
    return product


class OneDnnLinear(torch.nn.Module):
    """A linear layer, or a convolution of kernel 1 over time, with weights laid out for oneDNN.

    Takes (..., inputs) and returns (..., outputs); a convolution's (recordings, inputs, frames)
    and (recordings, outputs, frames).
    """

    def __init__(self, layer: torch.nn.Linear | torch.nn.Conv1d) -> None:
        """Lay the weights out.

        Args:
            layer: on a CPU, in 32 bits.

        Raises:
            AttributeError: this PyTorch has no such operator.
            RuntimeError: it has another, or this processor cannot.
        """
        super().__init__()
        self._over_time = isinstance(layer, torch.nn.Conv1d)
        self.load(layer.weight.detach(), None if layer.bias is None else layer.bias.detach())

    def load(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Lay other weights out, as the layer that was replaced holds them."""
        if self._over_time and weight.dim() > 2:  # noqa: PLR2004 - with its kernel of 1
            weight = weight.squeeze(-1)
        self._weight = lay_out(weight)
        self._bias = bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        if self._over_time:
            return multiply(x.transpose(1, 2), self._weight, self._bias).transpose(1, 2)
        return multiply(x, self._weight, self._bias)


def use_onednn_linears(model: torch.nn.Module) -> int:
    """Put packed layers in the place of a model's linear ones, where this PyTorch has them.

    The model is good for inference on this CPU only, afterwards.

    Args:
        model: on a CPU, in 32 bits.

    Returns:
        How many layers were replaced; 0 where oneDNN is not to be had.
    """
    available: Any = torch.backends.mkldnn.is_available
    if not available():
        return 0
    try:
        replaced = [
            (parent, name, _pack_checked(layer))
            for parent in model.modules()
            for name, layer in parent.named_children()
            if _is_product(layer)
        ]
    except (AttributeError, RuntimeError):
        # Another release's operators: the model stays as it is.
        return 0
    for parent, name, packed in replaced:
        setattr(parent, name, packed)
    return len(replaced)


def _is_product(layer: torch.nn.Module) -> bool:
    """Return whether it multiplies by a matrix and nothing else; subclasses may do more."""
    if type(layer) is torch.nn.Linear:
        return True
    return (
        type(layer) is torch.nn.Conv1d
        and layer.kernel_size == layer.stride == (1,)
        and layer.padding == (0,)
        and layer.groups == 1
    )


def _pack_checked(layer: Any) -> OneDnnLinear:  # noqa: ANN401 - either kind of layer
    """Pack a layer; raise RuntimeError unless both compute the same."""
    packed = OneDnnLinear(layer)
    over_time = isinstance(layer, torch.nn.Conv1d)
    shape = (2, layer.in_channels, 3) if over_time else (2, 3, layer.in_features)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        if not torch.allclose(layer(x), packed(x), rtol=1e-4, atol=1e-4):
            raise RuntimeError("oneDNN computes something else")
    return packed
