"""Depthwise convolutions by kernels of our own (depthwise.cu), compiled when a model is loaded.

cuDNN takes 0.13 to 0.7 s to prepare such a convolution for each new shape (cuDNN 9.19 on an H200),
and a set that is sorted by length has a new one in nearly each batch. These kernels need no
preparing, whatever the shape is. What is computed before and behind the convolution over time, the
gate and SiLU, they compute as well, so that it is neither written nor read in between.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).with_name("depthwise.cu")
# As in the source.
_FRAMES_EACH = 16
_HALVED_EACH = 8
THREADS = 128
_BY_GPU = 'extern "C" __global__'


class UnsuitableKernelsError(Exception):
    """These convolutions cannot be computed by the kernels; says why."""


def source(dtype: torch.dtype, taps: int, kernel: str = _BY_GPU) -> str:
    """Return the kernels' source.

    Args:
        dtype: of all tensors but the counts: bfloat16, or 32 bits.
        taps: of the convolution over time.
        kernel: declares a kernel.
    """
    settings = {"KERNEL": kernel, "STORED_16": int(dtype == torch.bfloat16), "TAPS": taps}
    lines = [f"#define {name} {value}\n" for name, value in settings.items()]
    return "".join(lines) + SOURCE.read_text()


class DepthwiseKernels:
    """Kernels for one number format and one number of taps."""

    def __init__(self, find: Callable[[str], Callable[..., None]]) -> None:
        """Find the compiled kernels.

        Args:
            find: returns a kernel by its name, to be called with the blocks of a recording, the
                recordings, and the kernel's arguments: tensors and whole numbers.
        """
        self._gate_and_convolve = find("gate_and_convolve")
        self._halve = find("halve")

    def gate_and_convolve(
        self,
        gated: torch.Tensor,
        counts: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        before: int,
    ) -> torch.Tensor:
        """Gate, convolve over time, and activate by SiLU: (recordings, frames, channels).

        Args:
            gated: (recordings, frames, 2 * channels); the second half gates the first.
            counts: frames of each recording; what lies beyond counts as zero.
            weight: (channels, taps).
            bias: (channels).
            before: frames that the first tap lies before; as many as taps see in all are kept.
        """
        rows, frames, both = gated.shape
        made = gated.new_empty((rows, frames, both // 2))
        pairs = both // 4
        blocks = _blocks(pairs * -(-frames // _FRAMES_EACH))
        tensors = gated.contiguous(), counts.long().contiguous(), weight, bias, made
        self._gate_and_convolve(blocks, rows, *tensors, frames, pairs, before)
        return made

    def halve(self, image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Halve frames and bands by a convolution of 3 x 3 with a stride of 2, a zero around.

        Args:
            image: (recordings, frames, bands, channels).
            weight: (channels, 3, 3).
            bias: (channels).
        """
        rows, frames, bands, channels = image.shape
        made = image.new_empty((rows, -(-frames // 2), -(-bands // 2), channels))
        pairs = channels // 2
        blocks = _blocks(pairs * made.shape[2] * -(-made.shape[1] // _HALVED_EACH))
        tensors = image.contiguous(), weight.contiguous(), bias, made
        self._halve(blocks, rows, *tensors, frames, bands, pairs)
        return made


def compile_kernels(
    device: torch.device, dtype: torch.dtype, taps: int, channels: tuple[int, ...]
) -> DepthwiseKernels:
    """Compile the kernels for a GPU.

    Args:
        device: the GPU.
        dtype: of the tensors.
        taps: of the convolution over time.
        channels: of the convolutions.

    Raises:
        UnsuitableKernelsError: the kernels are not for such tensors.
        Exception: whatever NeMo, cuda-python, NVRTC or the driver say.
    """
    if dtype not in {torch.bfloat16, torch.float32}:
        raise UnsuitableKernelsError(f"none for {dtype}")
    if odd := [number for number in channels if number % 2]:
        raise UnsuitableKernelsError(f"an odd number of channels, {odd[0]}")
    # Only here is it known that there is a GPU.
    from cuda.bindings import driver  # type: ignore[import-untyped]  # noqa: PLC0415
    from nemo.core.utils.cuda_python_utils import assert_drv, run_nvrtc  # noqa: PLC0415

    text = source(dtype, taps)

    def find(name: str) -> Callable[..., None]:
        with torch.cuda.device(device):
            function = run_nvrtc(text, name.encode(), SOURCE.name.encode())

        def launch(blocks: int, rows: int, *arguments: torch.Tensor | int) -> None:
            addresses, values = pack(arguments)
            stream = torch.cuda.current_stream(device).cuda_stream
            (error,) = driver.cuLaunchKernel(
                function, blocks, rows, 1, THREADS, 1, 1, 0, stream, ctypes.addressof(addresses), 0
            )
            del values  # the driver has copied them
            assert_drv(error)

        return launch

    return DepthwiseKernels(find)


def pack(arguments: tuple[torch.Tensor | int, ...]) -> tuple[Any, list[Any]]:
    """Return where a kernel's arguments lie, as the driver takes it, and the arguments."""
    values: list[Any] = [
        ctypes.c_void_p(one.data_ptr()) if isinstance(one, torch.Tensor) else ctypes.c_int(one)
        for one in arguments
    ]
    addresses = (ctypes.c_void_p * len(values))(*(ctypes.addressof(one) for one in values))
    return addresses, values


def _blocks(threads: int) -> int:
    return -(-threads // THREADS)
