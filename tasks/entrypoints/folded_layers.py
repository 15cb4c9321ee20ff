"""What a folded encoder computes: its layers, and the subsampling before them.

Convolutions of kernel 1 are products in the layout that the layer has anyway. Positions are shifted
by a view instead of copies. Padding is masked where a valid frame could see it, and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import onednn_linear  # type: ignore[import-not-found]  # lies beside this file
import torch
from folded_weights import ALIGNED  # type: ignore[import-not-found]  # likewise
from torch.nn import functional

if TYPE_CHECKING:
    from folded_weights import LayerWeights, StageWeights

_SUBSAMPLING_TAPS = 3
SUBSAMPLING_STRIDE = 2


class Settings(NamedTuple):
    """How to compute; all ways give the same up to rounding.

    Attributes:
        heads: of attention.
        padding: frames before and after, of the depthwise convolution.
        attention: "fused" (one kernel of PyTorch's, on a GPU) or "products".
        packed: whether weights of products are laid out for oneDNN, on a CPU.
        kernels: a ``DepthwiseKernels``, on a GPU; None to convolve by PyTorch.
    """

    heads: int
    padding: tuple[int, int]
    attention: str = "products"
    packed: bool = False
    kernels: Any = None


class Extent(NamedTuple):
    """How far each recording of a batch reaches.

    Attributes:
        counts: frames of each recording.
        own: 1 where a frame is a recording's own and 0 beyond, (recordings, frames, 1).
        masked: 0, or a large negative number beyond, (recordings, 1, frames).
    """

    counts: torch.Tensor
    own: torch.Tensor
    masked: torch.Tensor


def run_layer(
    x: torch.Tensor,
    weights: LayerWeights,
    positions: torch.Tensor,
    extent: Extent,
    how: Settings,
) -> torch.Tensor:
    """Return a layer's output, (recordings, frames, dimensions).

    Args:
        x: likewise; may be overwritten.
        weights: of the layer.
        positions: projected, (heads, 2 * longest, size): from the furthest after to before.
        extent: of the recordings.
        how: to compute.
    """
    w = weights
    h = multiply(_norm(x, w.norm_1, w.norm_1_bias), w.up_1, w.up_1_bias, how, "swish")
    x = _add_product(x, h, w.down_1, w.down_1_bias, how)

    h = _norm(x, w.norm_attention, w.norm_attention_bias)
    h = multiply(h, w.projections, w.projections_bias, how)
    attend = _attend_fused if how.attention == "fused" else _attend_by_products
    x = _add_product(x, attend(h, positions, extent.masked, how), w.out, w.out_bias, how)

    h = _norm(x, w.norm_convolution, w.norm_convolution_bias)
    h = multiply(h, w.gate, w.gate_bias, how)
    h = gate_and_convolve(h, w.depthwise, w.depthwise_bias, extent, how)
    x = _add_product(x, h, w.mix, w.mix_bias, how)

    h = multiply(_norm(x, w.norm_2, w.norm_2_bias), w.up_2, w.up_2_bias, how, "swish")
    x = _add_product(x, h, w.down_2, w.down_2_bias, how)
    return _norm(x, w.norm_out, w.norm_out_bias)


def _norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, weight.shape, weight, bias)


def multiply(
    h: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    how: Settings,
    activation: str = "none",
) -> torch.Tensor:
    """Multiply, and activate by "swish" or "relu"."""
    if how.packed:
        product: torch.Tensor = onednn_linear.multiply(h, weight, bias, activation)
        return product
    if activation == "relu" and bias is not None:
        # The product itself activates.
        flat: torch.Tensor = torch.ops.aten._addmm_activation(  # noqa: SLF001
            bias, h.reshape(-1, h.shape[-1]), weight.t()
        )
        return flat.view(*h.shape[:-1], len(weight))
    made = functional.linear(h, weight, bias)
    if activation == "none":
        return made
    activate = functional.silu if activation == "swish" else functional.relu
    return activate(made, inplace=True)


def _add_product(
    x: torch.Tensor,
    h: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    how: Settings,
) -> torch.Tensor:
    """Add a product to x; the matrix product itself adds, if it may."""
    if how.packed:
        added: torch.Tensor = onednn_linear.multiply_and_add(h, weight, bias, x)
        return added
    x.view(-1, x.shape[-1]).addmm_(h.reshape(-1, h.shape[-1]), weight.t())
    return x if bias is None else x.add_(bias)


def _position_scores(
    queries: torch.Tensor, positions: torch.Tensor, masked: torch.Tensor
) -> torch.Tensor:
    """Return the scores of relative positions with the mask, (heads, recordings, frames, frames).

    Args:
        queries: with the position's bias, (recordings, frames, heads, size).
        positions: likewise, as ``run_layer`` takes them.
        masked: to be added, (recordings, 1, frames).
    """
    rows, frames, heads, size = queries.shape
    longest = positions.shape[1] // 2
    near = positions[:, longest - frames : longest + frames].transpose(1, 2)
    scores = torch.bmm(queries.reshape(rows * frames, heads, size).transpose(0, 1), near)
    # The scores of a frame begin one place earlier than those of the frame before it, so that rows
    # that are one shorter show them in line: a view.
    shorter = 2 * frames - 1
    flat = scores.view(heads, rows, 2 * frames * frames)
    in_line = flat[..., frames - 1 : frames - 1 + frames * shorter].view(
        heads, rows, frames, shorter
    )
    return in_line[..., :frames] + masked


def _attend_fused(
    h: torch.Tensor, positions: torch.Tensor, masked: torch.Tensor, how: Settings
) -> torch.Tensor:
    """Attend by PyTorch's own kernel, which never writes the scores of contents."""
    rows, frames, width = h.shape
    by_position, query, key, value = h.view(rows, frames, 4, how.heads, -1).unbind(2)
    scores = _position_scores(by_position, positions, masked)
    attended = functional.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=scores.transpose(0, 1),
        scale=1.0,
    )
    return attended.transpose(1, 2).reshape(rows, frames, width // 4)


def _attend_by_products(
    h: torch.Tensor, positions: torch.Tensor, masked: torch.Tensor, how: Settings
) -> torch.Tensor:
    """Attend by two matrix products with a softmax between them."""
    rows, frames, width = h.shape
    parts = h.view(rows, frames, 4, how.heads, -1)
    scores = _position_scores(parts[:, :, 0], positions, masked).flatten(0, 1)
    query, key, value = parts[:, :, 1:].permute(2, 3, 0, 1, 4).contiguous().flatten(1, 2)
    scores.baddbmm_(query, key.transpose(1, 2))
    attended = torch.bmm(torch.softmax(scores, dim=-1), value)
    together = attended.view(how.heads, rows, frames, -1).permute(1, 2, 0, 3)
    return together.reshape(rows, frames, width // 4)


def gate_and_convolve(
    h: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, extent: Extent, how: Settings
) -> torch.Tensor:
    """Gate, convolve each dimension over time, and activate: (recordings, frames, dimensions).

    Args:
        h: (recordings, frames, 2 * dimensions); the second half gates the first.
        weight: (dimensions, taps).
        bias: (dimensions).
        extent: of the recordings.
        how: to compute.
    """
    before, after = how.padding
    if how.kernels is not None:
        made: torch.Tensor = how.kernels.gate_and_convolve(h, extent.counts, weight, bias, before)
        return made
    h = functional.glu(h, dim=-1).mul_(extent.own).unsqueeze(1)
    if before != after:
        h = functional.pad(h, (0, 0, before, after))
    padding = before if before == after else 0
    h = _convolve_together(h, weight.unsqueeze(1), bias, (0, padding)).squeeze(1)
    return functional.silu(h, inplace=True)


def _convolve_together(
    h: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    padding: tuple[int, int],
    stride: int = 1,
) -> torch.Tensor:
    """Convolve each channel where a pixel's channels lie together, (recordings, ..., channels)."""
    image = h.permute(0, 3, 1, 2)
    kernel = weight.unsqueeze(1).contiguous(memory_format=torch.channels_last)
    made = functional.conv2d(image, kernel, bias, stride, padding, groups=len(kernel))
    return made.permute(0, 2, 3, 1).contiguous()


def subsample(
    x: torch.Tensor,
    counts: list[torch.Tensor],
    stages: list[StageWeights],
    how: Settings,
) -> torch.Tensor:
    """Return what the last product of the subsampling takes, (recordings, frames, dimensions).

    A valid frame sees one frame beyond the recording's last, which therefore becomes zero.

    Args:
        x: features, zero beyond each recording's own: (recordings, frames, bands).
        counts: frames of each recording after each stage.
        stages: the weights; the first has no product.
        how: to compute.
    """
    h = x.unsqueeze(-1)  # (recordings, frames, bands, channels)
    for number, stage in enumerate(stages):
        if number:
            _end_at(h, counts[number - 1])
        h = _stride(h, stage, how, first=not number)
        if stage.product is not None:
            h = multiply(h, stage.product, stage.product_bias, how, "relu")
    return h.flatten(2)


def _end_at(h: torch.Tensor, counts: torch.Tensor) -> None:
    """Zero the first frame beyond each recording's own, (recordings, frames, ...)."""
    rows = torch.arange(len(counts), device=h.device)
    beyond = counts.clamp(max=h.shape[1] - 1)
    # Where there is none beyond, the last one is kept.
    kept = (beyond < counts)[:, None, None].to(h.dtype)
    h[rows, beyond] = h[rows, beyond] * kept


def _taps(h: torch.Tensor) -> list[torch.Tensor]:
    """List the nine strided views that a 3 x 3 kernel of stride 2 sees."""
    padded = functional.pad(h, (0, 0, 1, 1, 1, 1))
    frames, bands = ((size - 1) // SUBSAMPLING_STRIDE + 1 for size in h.shape[1:3])
    return [
        padded[:, row : row + 2 * frames - 1 : 2, column : column + 2 * bands - 1 : 2]
        for row in range(_SUBSAMPLING_TAPS)
        for column in range(_SUBSAMPLING_TAPS)
    ]


def _stride(h: torch.Tensor, stage: StageWeights, how: Settings, *, first: bool) -> torch.Tensor:
    """Halve frames and bands; of the first stage's output only what is positive counts."""
    if first:
        # A product of patches writes the largest tensor of all once, activated.
        views = torch.cat(_taps(h), dim=-1)
        patches = functional.pad(views, (0, -views.shape[-1] % ALIGNED))
        return multiply(patches, stage.strided, stage.strided_bias, how, "relu")
    kernel = stage.strided.view(-1, _SUBSAMPLING_TAPS, _SUBSAMPLING_TAPS)
    return halve(h, kernel, stage.strided_bias, how)


def halve(
    image: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, how: Settings
) -> torch.Tensor:
    """Halve frames and bands of each channel: (recordings, frames, bands, channels).

    Args:
        image: likewise.
        kernel: (channels, 3, 3).
        bias: (channels).
        how: to compute.
    """
    if how.kernels is not None:
        made: torch.Tensor = how.kernels.halve(image, kernel, bias)
        return made
    return _convolve_together(image, kernel, bias, (1, 1), SUBSAMPLING_STRIDE)
