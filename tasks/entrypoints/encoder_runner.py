"""Which encoder decodes: NeMo's own modules, or the same folded for inference.

Folding copies the weights. Where it cannot be done, or does not give what NeMo's modules give,
they are run themselves, and the log says why. Likewise PyTorch convolves where our own kernels
cannot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import depthwise_kernels  # type: ignore[import-not-found]  # lies beside this file
import folded_encoder  # type: ignore[import-not-found]  # likewise
import onednn_linear  # type: ignore[import-not-found]  # likewise
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "Encoder: "
"""Begins the line that tells of a fallback, so that no reader of a log takes it for a fault."""
_LONGEST_REASON = 300
_CONVOLVED = "convolved by PyTorch, which prepares each shape"


class EncoderRunner:
    """Runs one model's encoder.

    Attributes:
        folded: the folded encoder; None to run NeMo's modules.
    """

    def __init__(self, encoder: Any, dtype: torch.dtype, *, fold: bool) -> None:  # noqa: ANN401 - NeMo ships no types
        """Fold an encoder where that is possible; call it before its weights are cast.

        Args:
            encoder: NeMo's; it stays as it is.
            dtype: to compute in.
            fold: False for NeMo's own modules.
        """
        self._encoder = encoder
        self._dtype = dtype
        self._why_not = ""
        self.folded: Any = None
        if fold:
            self._try(self._fold)

    def _fold(self) -> None:
        folded_encoder.require_known(self._encoder)
        weight = next(self._encoder.parameters())
        packed = (
            not weight.is_cuda and self._dtype == torch.float32 and onednn_linear.is_available()
        )
        kernels = self._compile_kernels(weight.device) if weight.is_cuda else None
        self.folded = folded_encoder.FoldedEncoder(
            self._encoder, self._dtype, packed=packed, kernels=kernels
        )

    def _compile_kernels(self, device: torch.device) -> Any:  # noqa: ANN401 - DepthwiseKernels
        """Compile the depthwise convolutions; None to leave them to PyTorch."""
        convolution = self._encoder.layers[0].conv.depthwise_conv
        channels = convolution.out_channels, self._encoder.pre_encode._conv_channels  # noqa: SLF001
        try:
            return depthwise_kernels.compile_kernels(
                device, self._dtype, convolution.kernel_size[0], channels
            )
        except Exception as failed:  # noqa: BLE001 - NVRTC or a driver may lack anything
            print(f"{PREFIX}{_CONVOLVED}: {_describe(failed)}", flush=True)
            return None

    def check(self) -> None:
        """Compare both encoders; go on with NeMo's unless they are alike."""
        if self.folded is not None and self.folded.how.kernels is not None:
            try:
                self._compare()
            except torch.OutOfMemoryError:
                raise
            except Exception as failed:  # noqa: BLE001 - a driver may refuse to start them
                print(f"{PREFIX}{_CONVOLVED}: {_describe(failed)}", flush=True)
                self.folded.how = self.folded.how._replace(kernels=None)
            else:
                return
        if self.folded is not None:
            self._try(self._compare)

    def _compare(self) -> None:
        folded_encoder.check_alike(self._encoder, self.folded, self._dtype)

    def _try(self, do: Callable[[], None]) -> None:
        try:
            do()
        except torch.OutOfMemoryError:
            raise
        except Exception as failed:  # noqa: BLE001 - another release may lack what is looked for
            self.folded = None
            expected = isinstance(failed, folded_encoder.UnsuitableEncoderError)
            self._why_not = str(failed) if expected else type(failed).__name__
            print(f"{PREFIX}as NeMo runs it, not folded: {_describe(failed)}", flush=True)

    def __call__(
        self, features: torch.Tensor, counts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode a batch, as NeMo's encoder does; see ``FoldedEncoder``."""
        if self.folded is not None:
            encoded: tuple[torch.Tensor, torch.Tensor] = self.folded(features, counts)
            return encoded
        output, counts = self._encoder(audio_signal=features.to(self._dtype), length=counts)
        return output, counts

    @property
    def packed(self) -> bool:
        """True if its products are oneDNN's."""
        return self.folded is not None and bool(self.folded.how.packed)

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Encode by other weights from here on; see ``FoldedEncoder.load``."""
        if self.folded is not None:
            self.folded.load(state)

    def describe(self) -> str:
        """Describe the way for the log, or "" for NeMo's own without a reason."""
        if self.folded is not None:
            on_gpu = next(self._encoder.parameters()).is_cuda
            by_cudnn = on_gpu and self.folded.how.kernels is None
            return ", encoder folded" + (f", {_CONVOLVED}" if by_cudnn else "")
        return f", encoder as NeMo runs it: {self._why_not}" if self._why_not else ""


def _describe(failed: Exception) -> str:
    return " ".join(f"{type(failed).__name__}: {failed}".split())[:_LONGEST_REASON]
