"""The few shapes that batches of any lengths are padded to, so that each is compiled once.

A graph of CUDA is good for one shape only. Rows of a batch are already as long as the longest one;
here that length is rounded up to one of a few, chosen from the lengths of all rows so that little
is added. Nothing here needs torch.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_SHAPES = 4
"""Each shape costs some ten seconds of compiling."""
_ENOUGH = 0.04  # a share of padding that is not worth another shape
_MULTIPLE = 8  # of the encoder's frames: matrix products on a GPU want it
_BATCHES = 2000  # to estimate from


@dataclass(frozen=True, slots=True)
class PaddedShapes:
    """The shapes of a training.

    Attributes:
        rows: of each batch; a smaller last one is padded as well.
        frames: of the encoder's layers, in rising order.
        padding: frames that are added to those of the batches' longest rows, as their share.
    """

    rows: int
    frames: tuple[int, ...]
    padding: float

    def fitting(self, rows: int, frames: int) -> int | None:
        """Return the frames that such a batch is padded to; None where it fits into no shape."""
        if rows > self.rows:
            return None
        return next((bound for bound in self.frames if frames <= bound), None)


def choose_shapes(
    durations: Sequence[float],
    rows: int,
    frame_s: float,
    *,
    by_length: bool = False,
    most: int = MOST_SHAPES,
) -> PaddedShapes:
    """Choose the fewest shapes that add little, and at most so many.

    Args:
        durations: seconds of each row to train on; at least one.
        rows: of a batch.
        frame_s: seconds between two frames of the encoder's layers.
        by_length: whether the rows of a batch are of about one length.
        most: shapes.
    """
    lengths = [math.ceil(seconds / frame_s) for seconds in durations]
    unpadded = sorted(_longest(lengths, rows, by_length=by_length))
    unpadded[-1] = max(lengths)  # the one that holds whatever comes
    longest = [_rounded(frames) for frames in unpadded]
    bounds: list[int] = []
    padding = 0.0
    for count in range(1, most + 1):
        bounds = _bounds(longest, count)
        padded = sum(next(bound for bound in bounds if frames <= bound) for frames in longest)
        padding = padded / sum(unpadded) - 1
        if padded <= (1 + _ENOUGH) * sum(longest):
            break
    return PaddedShapes(rows, tuple(bounds), round(padding, 4))


def _rounded(frames: int) -> int:
    """Return these frames and one more, which a front end may add, as a multiple of eight."""
    return -(-(frames + 1) // _MULTIPLE) * _MULTIPLE


def _longest(lengths: list[int], rows: int, *, by_length: bool) -> Iterator[int]:
    """Yield the longest row of each batch, over as many epochs as an estimate needs."""
    order = sorted(lengths)
    rng = random.Random(0)  # noqa: S311 - an estimate
    batches = math.ceil(len(order) / rows)
    for _ in range(1 if by_length else math.ceil(_BATCHES / batches)):
        if not by_length:
            rng.shuffle(order)
        for start in range(0, len(order), rows):
            yield max(order[start : start + rows])


def _bounds(longest: list[int], count: int) -> list[int]:
    """Return the bounds, at most so many, that add the fewest frames to these sorted lengths.

    A bound is one of the lengths; the last one is the longest.
    """
    values = sorted(set(longest))
    # How many batches are no longer than the value before.
    below = [0, *(sum(frames <= value for frames in longest) for value in values)]
    size = len(values)
    # cost[k][j]: frames of all batches up to values[j], which is the last of k + 1 bounds.
    cost = [[values[j] * below[j + 1] for j in range(size)]]
    chosen: list[list[int]] = [[-1] * size]
    for _ in range(1, min(count, size)):
        row, came = [], []
        for j in range(size):
            best, start = cost[-1][j], -1
            for i in range(j):
                here = cost[-1][i] + values[j] * (below[j + 1] - below[i + 1])
                if here < best:
                    best, start = here, i
            row.append(best)
            came.append(start)
        cost.append(row)
        chosen.append(came)
    j = size - 1
    bounds: list[int] = []
    for came in reversed(chosen):
        if not bounds or j != bounds[-1]:
            bounds.append(j)
        if came[j] >= 0:
            j = came[j]
    return sorted(values[index] for index in bounds)
