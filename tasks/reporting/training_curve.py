"""The training curve as a picture: loss of each batch, validation WER of each epoch."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_INCHES = (7.0, 3.2)
_DPI = 110
# The Okabe-Ito palette's blue and vermilion: told apart by every kind of eye, and in print.
_LOSS, _WER = "#0072b2", "#d55e00"


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """Points of the training curve.

    Attributes:
        loss: (batch from 1, loss of that batch).
        val_wer: (batch after which it was measured, validation WER).
    """

    loss: tuple[tuple[int, float], ...]
    val_wer: tuple[tuple[int, float], ...]


def curve(events: Iterable[dict[str, Any]]) -> TrainingCurve:
    """Build the curve of a run's events; of steps repeated after a resume the last value wins."""
    loss: dict[int, float] = {}
    val_wer: dict[int, tuple[int, float]] = {}
    batch = 0
    for event in events:
        if event["event"] == "step":
            batch = event["batch"]
            loss[batch] = event["loss"]
        elif event["event"] == "epoch" and event["val_wer"] is not None:
            val_wer[event["epoch"]] = (batch, event["val_wer"])
    return TrainingCurve(
        tuple(sorted(loss.items())), tuple(val_wer[epoch] for epoch in sorted(val_wer))
    )


def draw(points: TrainingCurve) -> bytes:
    """Draw the curve as a PNG of a few tens of kilobytes."""
    # Half a second of import that a refused cycle does not need.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    left.plot(*_axes(points.loss), color=_LOSS, linewidth=1)
    left.set_xlabel("batch")
    left.set_ylabel("training loss", color=_LOSS)
    left.set_ylim(bottom=0)
    right = left.twinx()
    right.plot(*_axes(points.val_wer), color=_WER, marker="o")
    right.set_ylabel("validation WER", color=_WER)
    right.set_ylim(bottom=0)
    for axis in (left, right):
        axis.spines["top"].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _axes(points: tuple[tuple[int, float], ...]) -> tuple[list[int], list[float]]:
    return [place for place, _ in points], [value for _, value in points]
