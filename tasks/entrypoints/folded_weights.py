"""The tensors of an encoder that is folded for inference, made of the encoder's state.

Batch norm is folded into the depthwise convolution before it; query, key and value are one product,
and so are the two biases of relative positions. What is folded is computed in 64 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import onednn_linear  # type: ignore[import-not-found]  # lies beside this file
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping

ALIGNED = 8
"""Frames and columns that a GPU reads at once, in 16 bits."""


class LayerWeights(NamedTuple):
    """One layer's tensors, as ``FoldedEncoder`` computes with them.

    The first feed-forward's and the second's outputs are halved, and queries are scaled.
    """

    norm_1: torch.Tensor
    norm_1_bias: torch.Tensor
    up_1: torch.Tensor
    up_1_bias: torch.Tensor | None
    down_1: torch.Tensor
    down_1_bias: torch.Tensor | None
    norm_attention: torch.Tensor
    norm_attention_bias: torch.Tensor
    projections: torch.Tensor
    projections_bias: torch.Tensor
    out: torch.Tensor
    out_bias: torch.Tensor | None
    norm_convolution: torch.Tensor
    norm_convolution_bias: torch.Tensor
    gate: torch.Tensor
    gate_bias: torch.Tensor | None
    depthwise: torch.Tensor
    depthwise_bias: torch.Tensor
    mix: torch.Tensor
    mix_bias: torch.Tensor | None
    norm_2: torch.Tensor
    norm_2_bias: torch.Tensor
    up_2: torch.Tensor
    up_2_bias: torch.Tensor | None
    down_2: torch.Tensor
    down_2_bias: torch.Tensor | None
    norm_out: torch.Tensor
    norm_out_bias: torch.Tensor


class StageWeights(NamedTuple):
    """One halving of the frames: a convolution that strides, and the products after it."""

    strided: torch.Tensor
    strided_bias: torch.Tensor
    product: torch.Tensor | None
    product_bias: torch.Tensor | None


class WeightFolding:
    """Makes an encoder's folded tensors of its state."""

    def __init__(
        self,
        state: Mapping[str, torch.Tensor],
        device: torch.device,
        dtype: torch.dtype,
        *,
        packed: bool,
    ) -> None:
        self._state, self._device = state, device
        self._dtype, self._packed = dtype, packed

    def _exact(self, name: str) -> torch.Tensor:
        return self._state[name].detach().to(self._device, torch.float64)

    def _optional(self, name: str) -> torch.Tensor | None:
        return self._exact(name) if name in self._state else None

    def _cast(self, tensor: torch.Tensor | None, factor: float = 1.0) -> Any:  # noqa: ANN401
        return None if tensor is None else (tensor * factor).to(self._dtype).contiguous()

    def _matrix(self, weight: torch.Tensor | None, factor: float = 1.0) -> Any:  # noqa: ANN401
        """Return the weights of a product as they are multiplied."""
        made = self._cast(weight, factor)
        return onednn_linear.lay_out(made) if self._packed else made

    def _product(self, name: str, factor: float = 1.0) -> list[Any]:
        """Return a product's weight and bias."""
        weight = self._exact(f"{name}.weight").flatten(1)  # a convolution's kernel of 1
        return [self._matrix(weight, factor), self._cast(self._optional(f"{name}.bias"), factor)]

    def _pair(self, name: str) -> list[Any]:
        """Return a module's weight and bias; a convolution's as a matrix."""
        weight = self._exact(f"{name}.weight")
        if weight.dim() > 2:  # noqa: PLR2004 - with its kernel
            weight = weight.flatten(1)
        return [self._cast(weight), self._cast(self._optional(f"{name}.bias"))]

    def layer(self, number: int, heads: int, eps: float, half: float) -> LayerWeights:
        """Return a layer's tensors, its batch norm folded and its products joined."""
        name = f"layers.{number}."
        return LayerWeights(
            *self._pair(name + "norm_feed_forward1"),
            *self._product(name + "feed_forward1.linear1"),
            *self._product(name + "feed_forward1.linear2", half),
            *self._pair(name + "norm_self_att"),
            *self._projections(name + "self_attn.", heads),
            *self._product(name + "self_attn.linear_out"),
            *self._pair(name + "norm_conv"),
            *self._product(name + "conv.pointwise_conv1"),
            *self._depthwise(name + "conv.", eps),
            *self._product(name + "conv.pointwise_conv2"),
            *self._pair(name + "norm_feed_forward2"),
            *self._product(name + "feed_forward2.linear1"),
            *self._product(name + "feed_forward2.linear2", half),
            *self._pair(name + "norm_out"),
        )

    def _projections(self, name: str, heads: int) -> list[Any]:
        """Return one product of the queries for positions and contents, keys and values."""
        query, key, value = (self._exact(f"{name}linear_{part}.weight") for part in "qkv")
        # Either each layer's own, or one for all of them.
        shared = "" if "pos_bias_u" in self._state else name
        by_content, by_position = (self._exact(f"{shared}pos_bias_{letter}") for letter in "uv")
        zero = torch.zeros_like(query[:, 0])
        biases = [self._optional(f"{name}linear_{part}.bias") for part in "qkv"]
        of_query, of_key, of_value = (zero if bias is None else bias for bias in biases)
        scale = (len(query) // heads) ** -0.5
        return [
            self._matrix(torch.cat([query * scale, query * scale, key, value])),
            self._cast(
                torch.cat(
                    [
                        (of_query + by_position.flatten()) * scale,
                        (of_query + by_content.flatten()) * scale,
                        of_key,
                        of_value,
                    ]
                )
            ),
        ]

    def _depthwise(self, name: str, eps: float) -> list[Any]:
        """Return a depthwise convolution that normalises, (dimensions, taps), and its bias."""
        weight, mean, variance = (
            self._exact(f"{name}{part}")
            for part in (
                "depthwise_conv.weight",
                "batch_norm.running_mean",
                "batch_norm.running_var",
            )
        )
        scale = self._exact(f"{name}batch_norm.weight") / (variance + eps).sqrt()
        bias = self._optional(f"{name}depthwise_conv.bias")
        shift = -mean if bias is None else bias - mean
        shift = shift * scale + self._exact(f"{name}batch_norm.bias")
        return [self._cast(weight.squeeze(1) * scale[:, None]), self._cast(shift)]

    def stages(self) -> list[StageWeights]:
        """Return the subsampling's convolutions: one, and then pairs with a product."""
        numbers = sorted(
            int(name.split(".")[2])
            for name in self._state
            if name.startswith("pre_encode.conv.") and name.endswith(".weight")
        )
        first, *pairs = (f"pre_encode.conv.{number}" for number in numbers)
        kernel, bias = self._pair(first)
        # A GPU multiplies matrices with a multiple of eight columns faster.
        patches = self._matrix(functional.pad(kernel, (0, -kernel.shape[1] % ALIGNED)))
        return [
            StageWeights(patches, bias, None, None),
            *(
                StageWeights(*self._pair(strided), *self._product(product))
                for strided, product in zip(pairs[::2], pairs[1::2], strict=True)
            ),
        ]

    def out(self, channels: int) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Return weight and bias of the subsampling's last product, and of the encoder's, if any.

        NeMo's first one takes (channels, bands), and this one (bands, channels).
        """
        weight, bias = self._pair("pre_encode.out")
        weight = weight.view(len(weight), channels, -1).transpose(1, 2).flatten(1)
        products = [(self._matrix(weight), bias)]
        if "out_proj.weight" in self._state:
            weight, bias = self._product("out_proj")
            products.append((weight, bias))
        return products

    def position_weights(self, layers: int) -> list[torch.Tensor]:
        """Return what projects positions in each layer."""
        return [self._pair(f"layers.{n}.self_attn.linear_pos")[0] for n in range(layers)]
