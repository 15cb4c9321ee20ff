"""Windows over a long recording, and which of their frames count; needs no torch.

A model hears each window alone. Frames near a window's edge lack context on one side, so that
windows overlap and only their middles count. All is in frames of the encoder's output.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmissionWindow:
    """One window.

    Attributes:
        start: the first frame that is heard.
        end: behind the last frame that is heard.
        first: the first frame that counts.
        last: behind the last frame that counts.
    """

    start: int
    end: int
    first: int
    last: int


def plan_windows(frames: int, longest: int, margin: int) -> list[EmissionWindow]:
    """Cover a recording with windows whose counted frames follow each other without a gap.

    Args:
        frames: of the recording.
        longest: of a window.
        margin: at each edge within the recording, which do not count.

    Raises:
        ValueError: the margins leave nothing of a window.
    """
    step = longest - 2 * margin
    if step < 1:
        raise ValueError(f"windows of {longest} frames have no middle between margins of {margin}")
    windows = []
    first = 0
    while first < frames:
        start = max(0, first - margin)
        end = min(frames, start + longest)
        last = frames if end == frames else end - margin
        windows.append(EmissionWindow(start, end, first, last))
        first = last
    return windows
