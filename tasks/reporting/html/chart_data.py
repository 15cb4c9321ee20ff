"""What the charts show, once for both drawings: inline SVG in the page, and PNG for a slide.

The drawings are two on purpose. In the page a chart is a row of a table, follows the width and the
reader's dark mode, and keeps its text at the page's size; matplotlib's SVG does none of this.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tasks.evaluation.keyword_change import ALL_CATEGORIES
from tasks.evaluation.statistics import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.training.progress import Epoch

_CURVE_STEPS = 20


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
        category: an entity_category, or ``ALL_CATEGORIES``.
        name: as people read it.
        n: terms; rows, where each has one.
        counted: the same, with the rows where these are fewer.
        before: KER of the base; None without rows.
        after: KER of the tuned model.
        difference: after minus before.
        interval: of the difference.
    """

    category: str
    name: str
    n: int
    counted: str
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


@dataclass(frozen=True, slots=True)
class MixturePoint:
    """A candidate for shipping, with its figures on the rows that choose.

    Attributes:
        value: how far the weights go from the base (0) to the plain tuned model (1).
        ker: KER, averaged over the variants of each recording; None for one without rows.
        ker_interval: of it.
        general_wer: pooled WER of the choosing share of general English; None without one.
        rise: of that WER over the base's.
        rise_interval: of the rise.
        shipped: whether it is the model that the cycle ends with.
        by_curve: the rise by the curve through all candidates; None where there is none.
        holds: whether it could be chosen; None where no rise was looked at.
        rise_error: standard error of its own rise; None where it is not known.
    """

    value: float
    ker: float | None
    ker_interval: Interval | None
    general_wer: float | None
    rise: float | None
    rise_interval: Interval | None
    shipped: bool
    by_curve: float | None
    holds: bool | None
    rise_error: float | None = None

    @property
    def end(self) -> str:
        """The name of an end of the curve; empty between them."""
        return {0.0: "base", 1.0: "plain tuned"}.get(self.value, "")


@dataclass(frozen=True, slots=True)
class MixtureCurve:
    """KER and general WER of mixtures of base and tuned model, by value.

    Attributes:
        points: the candidates, by value.
        allowed_rise: the largest rise, by the curve, that the choice allowed; None where none was
            looked at.
        exponent: of the value in the curve; None as well.
        rows: selection rows.
        sentences: general sentences of the choosing share.
    """

    points: tuple[MixturePoint, ...]
    allowed_rise: float | None
    exponent: float | None
    rows: int
    sentences: int

    @property
    def rise_curve(self) -> tuple[tuple[float, float], ...]:
        """Points of the curve through the rises, from 0 to 1; none where there is no curve."""
        fitted = [(p.value, p.by_curve) for p in self.points if p.by_curve is not None and p.value]
        if not fitted or self.exponent is None:
            return ()
        value, rise = fitted[-1]
        steps = [step / _CURVE_STEPS for step in range(_CURVE_STEPS + 1)]
        return tuple((step, rise * (step / value) ** self.exponent) for step in steps)


def mixture_curve(shipping: Mapping[str, Any] | None) -> MixtureCurve | None:
    """Return the curve of decision.json's ``shipping``; None where no candidate was decoded."""
    if not shipping or not (candidates := shipping.get("candidates")):
        return None
    points = tuple(
        MixturePoint(
            figures["value"],
            figures["ker"],
            _interval(figures["ker_ci"]),
            figures["general_wer"],
            figures["general_rise"],
            _interval(figures["general_rise_ci"]),
            figures["value"] == shipping["value"],
            figures["general_rise_by_curve"],
            figures["holds"],
            figures.get("general_rise_standard_error"),
        )
        for figures in sorted(candidates, key=lambda figures: figures["value"])
    )
    return MixtureCurve(
        points,
        shipping["allowed_rise"],
        shipping["rule"]["exponent"],
        max(figures["rows"] for figures in candidates),
        max(figures["general_sentences"] for figures in candidates),
    )


def _interval(ends: Sequence[float] | None) -> Interval | None:
    return None if ends is None else Interval(*ends)


def category_differences(
    changes: Mapping[str, KeywordErrorChange],
) -> list[CategoryDifference]:
    """Return the lines of the forest plot, in the order of the changes."""
    return [
        CategoryDifference(
            category,
            "all categories" if category == ALL_CATEGORIES else category,
            change.n,
            change.before.bracket,
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
