"""Convolve each channel by itself, where a pixel's channels are together in memory.

In that layout cuDNN is fastest once it has prepared a shape, which takes it 0.13 to 0.7 s on an
H200 (cuDNN 9 of PyTorch 2.11). Channel by channel it prepares nothing, and takes 2 to 12 times as
long. A set that is decoded once has a new shape in nearly each batch, so that preparing took most
of its time. A shape is therefore prepared when the time lost on it is about what preparing takes.
Both ways round differently, so what was convolved before a set began does not count: a set's texts
depend on the set alone.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch.nn import functional

# Channel by channel, 10 to 40 ps more an element on an H200, in 16 and in 32 bits.
WORTH_PREPARING = 10_000_000_000
_convolved: Counter[tuple[object, ...]] = Counter()


def begin_set() -> None:
    """Forget which shapes were convolved."""
    _convolved.clear()


def convolve(
    h: torch.Tensor,
    kernel: torch.Tensor,
    bias: torch.Tensor,
    padding: tuple[int, int],
    stride: int = 1,
) -> torch.Tensor:
    """Convolve each channel, (recordings, rows, columns, channels).

    Args:
        h: input.
        kernel: (channels, rows, columns).
        bias: (channels).
        padding: zeros at both ends of rows and of columns.
        stride: of both.
    """
    apart = h.is_cuda and not pays(h, kernel, stride)
    layout = torch.contiguous_format if apart else torch.channels_last
    return convolve_in(layout, h, kernel, bias, padding, stride)


def pays(h: torch.Tensor, kernel: torch.Tensor, stride: int) -> bool:
    """Count this input, whose shape is as ``convolve`` says; return whether preparing it pays."""
    shape = (h.device, h.dtype, h.shape, kernel.shape, stride)
    _convolved[shape] += h.numel()
    return _convolved[shape] > WORTH_PREPARING


def convolve_in(
    layout: torch.memory_format,
    h: torch.Tensor,
    kernel: torch.Tensor,
    bias: torch.Tensor,
    padding: tuple[int, int],
    stride: int,
) -> torch.Tensor:
    """Convolve as ``convolve`` does, in a layout of memory; the output has the input's."""
    image = h.permute(0, 3, 1, 2).contiguous(memory_format=layout)
    weight = kernel.unsqueeze(1).contiguous(memory_format=layout)
    made = functional.conv2d(image, weight, bias, stride, padding, groups=len(kernel))
    del image  # a large one, where it is a copy; what follows needs its memory
    return made.permute(0, 2, 3, 1).contiguous()
