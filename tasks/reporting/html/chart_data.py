"""What the charts show, once for both drawings: inline SVG in the page, and PNG for a slide.

The drawings are two on purpose. In the page a chart is a row of a table, follows the width and the
reader's dark mode, and keeps its text at the page's size; matplotlib's SVG does none of this.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.evaluation import diff

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.evaluation.diff import KeywordErrorChange
    from tasks.evaluation.statistics import Interval
    from tasks.training.progress import Epoch


class Direction(StrEnum):
    """What a change of an error rate means."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"


def direction_of(difference: float) -> Direction:
    """Return what a difference of error rates, tuned minus base, means."""
    if difference == 0:
        return Direction.SAME
    return Direction.BETTER if difference < 0 else Direction.WORSE


@dataclass(frozen=True, slots=True)
class CategoryDifference:
    """One line of the forest plot.

    Attributes:
        category: an entity_category, or ``diff.ALL_CATEGORIES``.
        name: as people read it.
        n: rows with a term.
        before: KER of the base; None without rows.
        after: KER of the tuned model.
        difference: after minus before.
        interval: of the difference.
    """

    category: str
    name: str
    n: int
    before: float | None
    after: float | None
    difference: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class EpochSeries:
    """One chart of the training's course.

    Attributes:
        title: what is measured.
        values: of each epoch; None where it was not measured.
        best: index of the epoch whose model was kept; None for what does not decide.
    """

    title: str
    values: tuple[float | None, ...]
    best: int | None = None


def category_differences(
    changes: Mapping[str, KeywordErrorChange],
) -> list[CategoryDifference]:
    """Return the lines of the forest plot, in the order of the changes."""
    return [
        CategoryDifference(
            category,
            "all categories" if category == diff.ALL_CATEGORIES else category,
            change.n,
            change.before.rate,
            change.after.rate,
            (change.after.rate or 0.0) - (change.before.rate or 0.0),
            change.interval,
        )
        for category, change in changes.items()
    ]


def training_series(epochs: Sequence[Epoch]) -> list[EpochSeries]:
    """Return the charts of a training; what was measured in no epoch has none."""
    rates = tuple(epoch.val_wer for epoch in epochs)
    measured = [(rate, place) for place, rate in enumerate(rates) if rate is not None]
    series = [
        EpochSeries("Validation WER", rates, min(measured)[1] if measured else None),
        EpochSeries("Training loss", tuple(epoch.train_loss for epoch in epochs)),
        EpochSeries("Validation loss", tuple(epoch.val_loss for epoch in epochs)),
    ]
    return [chart for chart in series if any(value is not None for value in chart.values)]
