"""NeMo's FastConformer encoder, computed for inference alone.

The sums are those of NeMo's modules, added in another order; what only training needs is gone
(folded_weights.py, folded_layers.py). Positions are projected once instead of at each batch.

Frames beyond a recording's own hold other values than NeMo's, which no decoder reads. The model's
own encoder stays as it is: what is saved or trained is never this one.
"""

from __future__ import annotations

import copy
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from folded_layers import (  # type: ignore[import-not-found]  # lies beside this file
    SUBSAMPLING_STRIDE,
    Extent,
    Settings,
    multiply,
    run_layer,
    subsample,
)
from folded_weights import ALIGNED, WeightFolding  # type: ignore[import-not-found]  # likewise
from nemo.collections.asr.modules import ConformerEncoder
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from folded_weights import LayerWeights, StageWeights

_MASKED = -10_000.0  # as NeMo's own, whose softmax makes zero of it
_LIMIT = 1 << 31  # elements that a convolution's kernel may index
# Root of the mean square, as a share. A GPU's convolutions in 32 bits round to ten, too.
_TOLERANCE = {torch.float32: 5e-3, torch.bfloat16: 6e-2}


class UnsuitableEncoderError(Exception):
    """This encoder cannot be computed here; says why."""


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
        kernels: Any = None,  # noqa: ANN401 - a DepthwiseKernels
    ) -> None:
        """Fold an encoder's weights.

        Args:
            encoder: NeMo's, in 32 bits; stays as it is.
            dtype: to compute in.
            packed: whether to lay weights out for oneDNN, on a CPU.
            kernels: the depthwise convolutions, as ``Settings`` has them.

        Raises:
            UnsuitableEncoderError: it is of another kind.
        """
        require_known(encoder)
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
            kernels=kernels,
        )
        self._step = encoder.subsampling_factor * ALIGNED
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
            folding = WeightFolding(state, self._device, self._dtype, packed=self.how.packed)
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
            counts = torch.div(counts - 1, SUBSAMPLING_STRIDE, rounding_mode="floor") + 1
            by_stage.append(counts)
        h = self._subsample(x, by_stage)
        h = multiply(h, *self._out[0], self.how)
        if self._scale:
            h = h * self._scale
        valid = frames[: h.shape[1]] < counts.unsqueeze(1)
        own = valid.unsqueeze(-1).to(h.dtype)
        masked = torch.zeros_like(valid, dtype=h.dtype).masked_fill_(~valid, _MASKED).unsqueeze(1)
        extent = Extent(counts, own, masked)
        by_layer = zip(self._layers, self._positions_for(h.shape[1]), strict=True)
        with self.kernels():
            for weights, positions in by_layer:
                h = run_layer(h, weights, positions, extent, self.how)
        for last in self._out[1:]:
            h = multiply(h, *last, self.how)
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


def require_known(encoder: Any) -> None:  # noqa: ANN401
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
