"""Batches of recordings of like length: longest first, within a budget of frames.

A batch is as slow as its longest recording, so recordings of one length belong together; and the
longest come first, so that what does not fit into memory shows at once. Nothing here needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FRAMES_PER_S = 100  # of 10 ms each, as all of NeMo's recognisers use


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one batch.

    Attributes:
        frames: padded frames, which is the number of recordings times the longest one's frames.
        rows: recordings, however short.
        frame_bytes: memory of one frame of a very short recording.
        frame_bytes_each: what each frame more in the longest recording adds to that; attention
            looks from every frame at every other one.
        memory: bytes that a batch may take; 0 for no such bound.
    """

    frames: int
    rows: int
    frame_bytes: float = 0.0
    frame_bytes_each: float = 0.0
    memory: int = 0

    def fits(self, rows: int, frames: int) -> bool:
        """Return whether so many recordings, the longest of so many frames, make one batch."""
        padded = rows * frames
        needs = padded * (self.frame_bytes + self.frame_bytes_each * frames)
        within = not self.memory or needs <= self.memory
        return rows <= self.rows and padded <= self.frames and within

    def halved(self) -> Budget:
        """Return half the budget, for a batch that did not fit after all."""
        return Budget(
            max(1, self.frames // 2),
            max(1, self.rows // 2),
            self.frame_bytes,
            self.frame_bytes_each,
            self.memory // 2,
        )


def plan(durations: Sequence[float], budget: Budget) -> Iterator[list[int]]:
    """Yield batches of places, the longest recordings first; every place is in one of them.

    Args:
        durations: seconds, one a recording.
        budget: of a batch; a recording that is over it alone makes a batch of its own.
    """
    # The place as well, so that the batches of equal recordings do not depend on the sort.
    order = sorted(range(len(durations)), key=lambda place: (-durations[place], place))
    batch: list[int] = []
    for place in order:
        if batch and not budget.fits(len(batch) + 1, frames(durations[batch[0]])):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def frames(seconds: float) -> int:
    """Return the frames of a recording."""
    return max(1, int(seconds * FRAMES_PER_S) + 1)
