"""NeMo's FastConformer encoder, computed for inference alone.

The sums are those of NeMo's modules, added in another order. What only training needs is gone:

- batch norm is folded into the depthwise convolution before it;
- query, key and value are one product, and so are the two biases of relative positions;
- convolutions of kernel 1 are products in the layout that the layer has anyway;
- positions are shifted by a view instead of copies, and projected once instead of at each batch;
- padding is masked where a valid frame could see it, and nowhere else.

Frames beyond a recording's own hold other values than NeMo's, which no decoder reads. The model's
own encoder stays as it is: what is saved or trained is never this one.
"""

from __future__ import annotations

import copy
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import onednn_linear  # type: ignore[import-not-found]  # lies beside this file
import torch
from nemo.collections.asr.modules import ConformerEncoder
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

_MASKED = -10_000.0  # as NeMo's own, whose softmax makes zero of it
_ALIGNED = 8  # frames of the encoder; a GPU reads 16 bytes at once
_LIMIT = 1 << 31  # elements that a convolution's kernel may index
_SUBSAMPLING_TAPS = 3
_SUBSAMPLING_STRIDE = 2
# Root of the mean square, as a share. A GPU's convolutions in 32 bits round to ten, too.
_TOLERANCE = {torch.float32: 5e-3, torch.bfloat16: 6e-2}


class UnsuitableEncoderError(Exception):
    """This encoder cannot be computed here; says why."""


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


class Settings(NamedTuple):
    """How to compute; all ways give the same up to rounding.

    Attributes:
        heads: of attention.
        padding: frames before and after, of the depthwise convolution.
        attention: "fused" (one kernel of PyTorch's, on a GPU) or "products".
        packed: whether weights of products are laid out for oneDNN, on a CPU.
    """

    heads: int
    padding: tuple[int, int]
    attention: str = "products"
    packed: bool = False


def run_layer(
    x: torch.Tensor,
    weights: LayerWeights,
    positions: torch.Tensor,
    own: torch.Tensor,
    masked: torch.Tensor,
    how: Settings,
) -> torch.Tensor:
    """Return a layer's output, (recordings, frames, dimensions).

    Args:
        x: likewise; may be overwritten.
        weights: of the layer.
        positions: projected, (heads, 2 * longest, size): from the furthest after to before.
        own: 1 where a frame is a recording's own and 0 beyond, (recordings, frames, 1).
        masked: 0, or a large negative number beyond, (recordings, 1, frames).
        how: to compute.
    """
    w = weights
    h = _product(_norm(x, w.norm_1, w.norm_1_bias), w.up_1, w.up_1_bias, how, "swish")
    x = _add_product(x, h, w.down_1, w.down_1_bias, how)

    h = _norm(x, w.norm_attention, w.norm_attention_bias)
    h = _product(h, w.projections, w.projections_bias, how)
    attend = _attend_fused if how.attention == "fused" else _attend_by_products
    x = _add_product(x, attend(h, positions, masked, how), w.out, w.out_bias, how)

    h = _norm(x, w.norm_convolution, w.norm_convolution_bias)
    h = functional.glu(_product(h, w.gate, w.gate_bias, how), dim=-1)
    h = _convolve(h.mul_(own), w.depthwise, w.depthwise_bias, how)
    h = functional.silu(h, inplace=True)
    x = _add_product(x, h, w.mix, w.mix_bias, how)

    h = _product(_norm(x, w.norm_2, w.norm_2_bias), w.up_2, w.up_2_bias, how, "swish")
    x = _add_product(x, h, w.down_2, w.down_2_bias, how)
    return _norm(x, w.norm_out, w.norm_out_bias)


def _norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, weight.shape, weight, bias)


def _product(
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


def _convolve(
    h: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, how: Settings
) -> torch.Tensor:
    """Convolve each dimension over time, (recordings, frames, dimensions).

    Args:
        h: input.
        weight: (dimensions, taps).
        bias: (dimensions).
        how: to compute.
    """
    before, after = how.padding
    # One row of an image whose pixels hold their channels together is (frames, dimensions).
    image = h.unsqueeze(1).permute(0, 3, 1, 2)
    if before != after:
        image = functional.pad(image, (before, after))
    padding = before if before == after else 0
    kernel = weight.view(-1, 1, 1, weight.shape[1]).to(memory_format=torch.channels_last)
    made = functional.conv2d(image, kernel, bias, padding=(0, padding), groups=len(kernel))
    return made.permute(0, 2, 3, 1).squeeze(1)


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
            h = _product(h, stage.product, stage.product_bias, how, "relu")
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
    frames, bands = ((size - 1) // _SUBSAMPLING_STRIDE + 1 for size in h.shape[1:3])
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
        patches = functional.pad(views, (0, -views.shape[-1] % _ALIGNED))
        return _product(patches, stage.strided, stage.strided_bias, how, "relu")
    kernel = stage.strided.view(-1, 1, _SUBSAMPLING_TAPS, _SUBSAMPLING_TAPS)
    made = functional.conv2d(
        h.permute(0, 3, 1, 2),
        kernel.to(memory_format=torch.channels_last),
        stage.strided_bias,
        stride=_SUBSAMPLING_STRIDE,
        padding=1,
        groups=len(kernel),
    )
    return made.permute(0, 2, 3, 1)


class _Folding:
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
        patches = self._matrix(functional.pad(kernel, (0, -kernel.shape[1] % _ALIGNED)))
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


class FoldedEncoder:
    """An encoder's weights, folded, and what is computed with them.

    Attributes:
        how: to compute.
        bands: of the features.
    """

    def __init__(
        self,
        encoder: Any,  # noqa: ANN401 - NeMo ships no types
        dtype: torch.dtype,
        *,
        packed: bool = False,
    ) -> None:
        """Fold an encoder's weights.

        Args:
            encoder: NeMo's, in 32 bits; stays as it is.
            dtype: to compute in.
            packed: whether to lay weights out for oneDNN, on a CPU.

        Raises:
            UnsuitableEncoderError: it is of another kind.
        """
        _require_known(encoder)
        self._dtype = dtype
        self._device: torch.device = next(encoder.parameters()).device
        self._layers_count = len(encoder.layers)
        self._norm_eps = float(encoder.layers[0].conv.batch_norm.eps)
        self._half = float(encoder.layers[0].fc_factor)
        self._scale = encoder.xscale
        self.bands = int(encoder._feat_in)  # noqa: SLF001
        self._channels = int(encoder.pre_encode._conv_channels)  # noqa: SLF001
        self._positions_of = copy.deepcopy(encoder.pos_enc)
        self._growing = threading.Lock()
        self._longest = 0
        self._positions: list[torch.Tensor] = []
        convolution = encoder.layers[0].conv.depthwise_conv
        self.how = Settings(
            heads=encoder.layers[0].self_attn.h,
            padding=(convolution._left_padding, convolution._right_padding),  # noqa: SLF001
            # Measured on an H200; in 32 bits texts were compared with products.
            attention="fused"
            if self._device.type == "cuda" and dtype == torch.bfloat16
            else "products",
            packed=packed,
        )
        self._step = encoder.subsampling_factor * _ALIGNED
        self._layers: list[LayerWeights] = []
        self._stages: list[StageWeights] = []
        self._out: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        self._position_weights: list[torch.Tensor] = []
        self.load(encoder.state_dict())

    def kernels(self) -> AbstractContextManager[None]:
        """Return the context in which PyTorch's attention needs no compiling for each shape."""
        if self.how.attention == "fused":
            return sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION)
        return nullcontext()

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Fold weights.

        Args:
            state: tensors by their names in the encoder's state, on any device.
        """
        with torch.inference_mode(mode=False), torch.no_grad():
            folding = _Folding(state, self._device, self._dtype, packed=self.how.packed)
            self._layers = [
                folding.layer(number, self.how.heads, self._norm_eps, self._half)
                for number in range(self._layers_count)
            ]
            self._stages, self._out = folding.stages(), folding.out(self._channels)
            self._position_weights = folding.position_weights(self._layers_count)
            self._positions = self._project_positions(self._longest)

    def _positions_for(self, frames: int) -> list[torch.Tensor]:
        """Return projected positions for at least so many frames of the encoder."""
        with self._growing:  # on a CPU several batches are encoded at once
            if frames > self._longest:
                self._positions = self._project_positions(frames)
                self._longest = frames
            return self._positions

    def _project_positions(self, far: int) -> list[torch.Tensor]:
        """Return projected relative positions of each layer, (heads, 2 * far, size)."""
        if not far:
            return []
        places = torch.arange(far - 1, -far, -1, dtype=torch.float32, device=self._device)
        self._positions_of.create_pe(positions=places.unsqueeze(1), dtype=torch.float32)
        table = self._positions_of.pe[0]
        projected = (table @ weight.float().t() for weight in self._position_weights)
        by_head = (one.view(len(one), self.how.heads, -1).transpose(0, 1) for one in projected)
        return [functional.pad(one, (0, 0, 0, 1)).to(self._dtype).contiguous() for one in by_head]

    def __call__(
        self, features: torch.Tensor, counts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode a batch.

        Args:
            features: (recordings, bands, frames).
            counts: frames of each recording.

        Returns:
            (recordings, dimensions, frames), and the frames of each recording. What lies beyond
            a recording's own frames has no meaning.
        """
        # A whole number of aligned frames of the encoder.
        features = functional.pad(features.to(self._dtype), (0, -features.shape[-1] % self._step))
        frames = torch.arange(features.shape[-1], device=features.device)
        own = (frames < counts.unsqueeze(1)).unsqueeze(-1).to(features.dtype)
        x = features.transpose(1, 2) * own
        by_stage = []
        for _ in self._stages:
            counts = torch.div(counts - 1, _SUBSAMPLING_STRIDE, rounding_mode="floor") + 1
            by_stage.append(counts)
        h = self._subsample(x, by_stage)
        h = _product(h, *self._out[0], self.how)
        if self._scale:
            h = h * self._scale
        valid = frames[: h.shape[1]] < counts.unsqueeze(1)
        own = valid.unsqueeze(-1).to(h.dtype)
        masked = torch.zeros_like(valid, dtype=h.dtype).masked_fill_(~valid, _MASKED).unsqueeze(1)
        by_layer = zip(self._layers, self._positions_for(h.shape[1]), strict=True)
        with self.kernels():
            for weights, positions in by_layer:
                h = run_layer(h, weights, positions, own, masked, self.how)
        for last in self._out[1:]:
            h = _product(h, *last, self.how)
        return h.transpose(1, 2), counts

    def _subsample(self, x: torch.Tensor, counts: list[torch.Tensor]) -> torch.Tensor:
        """Subsample as many recordings at once as kernels can index."""
        _, frames, bands = x.shape
        channels = len(self._stages[0].strided_bias)
        rows = max(1, _LIMIT // (max(1, frames * bands // 4) * channels))
        parts = [
            subsample(
                x[start : start + rows],
                [one[start : start + rows] for one in counts],
                self._stages,
                self.how,
            )
            for start in range(0, len(x), rows)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def _require_known(encoder: Any) -> None:  # noqa: ANN401
    """Raise UnsuitableEncoderError unless the encoder is of the kind that is computed here."""
    if type(encoder) is not ConformerEncoder:
        raise UnsuitableEncoderError(f"{type(encoder).__name__} is no plain ConformerEncoder")
    pre, layer = encoder.pre_encode, encoder.layers[0]
    known = {
        "attention": encoder.self_attention_model == "rel_pos",
        "limited context": encoder.att_context_style == "regular"
        and list(encoder.att_context_size) == [-1, -1],
        "subsampling": getattr(pre, "_subsampling", "") == "dw_striding" and not pre.is_causal,
        "reduction of frames": encoder.reduction_position is None,
        "normalisation": isinstance(layer.conv.batch_norm, torch.nn.BatchNorm1d),
        "gate": layer.conv.pointwise_activation == "glu_",
        "adapters": not any(one.is_adapter_available() for one in encoder.layers),
    }
    if unknown := [name for name, is_known in known.items() if not is_known]:
        raise UnsuitableEncoderError(f"{', '.join(unknown)} of another kind")


def check_alike(
    encoder: Any,  # noqa: ANN401
    folded: FoldedEncoder,
    dtype: torch.dtype,
) -> None:
    """Compare a folded encoder with NeMo's on noise of three lengths.

    Raises:
        UnsuitableEncoderError: a recording's own frames differ by more than rounding.
    """
    device = next(encoder.parameters()).device
    counts = torch.tensor([203, 160, 77])
    noise = torch.randn(3, folded.bands, 203, generator=torch.Generator().manual_seed(0))
    noise = noise.masked_fill(torch.arange(203) >= counts[:, None, None], 0.0).to(device)
    counts = counts.to(device)
    with torch.inference_mode():
        theirs, their_counts = encoder(audio_signal=noise.to(dtype), length=counts)
        ours, our_counts = folded(noise, counts)
    if not torch.equal(their_counts.long(), our_counts.long()):
        raise UnsuitableEncoderError("it counts other frames")
    apart, size = 0.0, 0.0
    for row, count in enumerate(their_counts.tolist()):
        own = theirs[row, :, :count].double()
        apart += float((own - ours[row, :, :count].double()).square().sum())
        size += float(own.square().sum())
    # Written so that what is not a number is apart, too.
    if not apart <= _TOLERANCE[dtype] ** 2 * size:
        raise UnsuitableEncoderError(f"it differs by {(apart / size) ** 0.5:.2g}")
