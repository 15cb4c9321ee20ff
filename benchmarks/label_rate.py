"""A transducer with random weights that emits no more labels than speech has.

Random weights emit at nearly every frame, some 25 times as many labels as a trained model. Time in
the decoding loop and in spelling is then what no user has. A higher bias of the blank label makes
blanks as frequent as a trained model's; everything else stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

SPEECH = 4.0
"""Labels a second of fast English with a vocabulary of 1,024 word pieces."""
_HIGHEST = 16.0
_HALVINGS = 12


def slow_down(model: Any, labels_a_second: Callable[[], float], wanted: float = SPEECH) -> float:  # noqa: ANN401
    """Raise the bias of blank until a model emits as many labels as wanted.

    Args:
        model: a NeMo transducer; its joint's bias is changed in place.
        labels_a_second: decodes some clips as the model is now.
        wanted: labels a second of audio.

    Returns:
        The labels a second that it emits afterwards.
    """
    bias = model.joint.joint_net[-1].bias
    blank = int(model.decoder.blank_idx)
    plain = float(bias[blank])
    low, high = 0.0, _HIGHEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        _set(bias, blank, plain + middle)
        if labels_a_second() > wanted:
            low = middle
        else:
            high = middle
    _set(bias, blank, plain + high)
    return labels_a_second()


@torch.no_grad()
def _set(bias: torch.Tensor, place: int, value: float) -> None:
    bias[place] = value
