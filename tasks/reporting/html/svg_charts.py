"""Charts as inline SVG that stretch with the page: positions in percent, text in pixels.

Base and tuned model differ in shape and filling as well as in colour (Okabe & Ito's palette, set in
the style sheet), so that print and colour-blind readers lose nothing. Each chart says in its
``aria-label`` what it shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from tasks.reporting.html.chart_data import direction_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tasks.evaluation.statistics import Interval

_STRIP_PX = 34
_BAR_PX = 18
_CURVE_PX = 190
_CURVE_TOP_PX, _CURVE_BOTTOM_PX = 26, 30
_LEFT, _RIGHT = 9.0, 91.0
_MOST_TICKS = 9
_SHARE_STEPS, _SHARE_TICKS = (0.02, 0.05, 0.1, 0.2), 5
_VALUES_PX, _VALUES_BOTTOM_PX = 250, 44
_VALUE_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# Half a whisker's end, in percent of the width.
_CAP = 0.8
_CIRCLE = Markup('<circle class="node" cx="{}%" cy="{}" r="4.5"/>')
# A path knows no percent, so that it stands in a drawing of its own.
_DIAMOND = Markup(
    '<svg x="{}%" y="{}" aria-hidden="true"><path class="node best" d="M0-9 9 0 0 9-9 0z"/></svg>'
)


@dataclass(frozen=True, slots=True)
class CurveFigure:
    """One chart of the course of training."""

    title: str
    note: str
    drawing: Markup


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis from ``low`` to ``high`` with its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Return the place of a value, in percent of the width."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


SHARES = Axis(0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
"""An axis for shares of rows."""


def axis(values: Iterable[float], step: float = 0.1) -> Axis:
    """Make an axis that holds zero and all values, with round ticks and margins."""
    with_zero = [0.0, *values]
    low, high = min(with_zero), max(with_zero)
    while (high - low) / step > _MOST_TICKS - 2:
        step *= 2
    first, last = math.floor(low / step - 0.25), math.ceil(high / step + 0.25)
    ticks = tuple(round(number * step, 6) for number in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def share_axis(values: Iterable[float]) -> Axis:
    """Make an axis for small shares, from zero to a round tick above all values."""
    top = min(1.0, max([0.0, *values]))
    step = next((step for step in _SHARE_STEPS if top / step <= _SHARE_TICKS), _SHARE_STEPS[-1])
    ticks = tuple(round(number * step, 6) for number in range(max(1, math.ceil(top / step)) + 1))
    return Axis(0.0, ticks[-1], ticks)


def difference(scale: Axis, value: float, interval: Interval | None, label: str) -> Markup:
    """Draw one line of a forest plot: the difference and its interval over the axis' grid."""
    parts = [*_grid(scale)]
    if interval is not None:
        parts += _whisker(scale.at(interval.low), scale.at(interval.high), "whisker")
    dot = Markup('<circle class="dot {}" cx="{}%" cy="50%" r="6"/>')
    parts.append(dot.format(direction_of(value), scale.at(value)))
    return _svg("strip", _STRIP_PX, label, parts)


def _grid(scale: Axis) -> Iterable[Markup]:
    for tick in scale.ticks:
        yield _line(scale.at(tick), "0", scale.at(tick), "100%", "grid" if tick else "zero")


def _whisker(low: float, high: float, kind: str) -> Iterable[Markup]:
    """Draw an interval: a line with an end at either side."""
    yield _line(low, "50%", high, "50%", kind)
    for end in (low, high):
        yield _line(end, "28%", end, "72%", kind)


def bar(value: float, interval: Interval | None, kind: str, label: str) -> Markup:
    """Draw a share from 0 to 1 as a bar, with its interval; ``kind`` is base or tuned."""
    width = round(100 * value, 2)
    parts = [
        Markup('<rect class="track" x="0" y="25%" width="100%" height="50%" rx="2"/>'),
        Markup('<rect class="bar {0}" x="0" y="12%" width="{1}%" height="76%" rx="2"/>').format(
            kind, width
        ),
    ]
    if interval is not None:
        ends = round(100 * interval.low, 2), round(100 * interval.high, 2)
        # With a halo below, so that it stands out on the bar's filling.
        parts += [*_whisker(*ends, "halo"), *_whisker(*ends, "whisker")]
    return _svg("bars", _BAR_PX, label, parts)


def curve(values: Sequence[float | None], best: int | None, label: str) -> Markup:
    """Draw one value per epoch; ``best`` (an index) gets a ring and its figure."""
    measured = [(place, value) for place, value in enumerate(values) if value is not None]
    if not measured:
        return Markup()
    top = max(value for _, value in measured) or 1.0
    steps = max(1, len(values) - 1)
    points = [
        (
            round(_LEFT + (_RIGHT - _LEFT) * place / steps, 2),
            round(
                _CURVE_TOP_PX
                + (_CURVE_PX - _CURVE_TOP_PX - _CURVE_BOTTOM_PX) * (1 - value / (1.08 * top)),
                1,
            ),
        )
        for place, value in measured
    ]
    floor = _CURVE_PX - _CURVE_BOTTOM_PX
    parts = [_line(_LEFT - 4, str(floor), _RIGHT + 2, str(floor), "zero")]
    parts += [_line(x1, str(y1), x2, str(y2), "curve") for (x1, y1), (x2, y2) in pairwise(points)]
    labelled = {measured[0][0], measured[-1][0], best}
    for (place, value), (x, y) in zip(measured, points, strict=True):
        ring = " best" if place == best else ""
        parts.append(
            Markup('<circle class="node{}" cx="{}%" cy="{}" r="{}"/>').format(
                ring, x, y, 6 if ring else 4
            )
        )
        if place in labelled:
            parts.append(_text(x, y - 12, f"{value:.3g}", "figure"))
            parts.append(_text(x, _CURVE_PX - 10, f"epoch {place + 1}", "tick"))
    return _svg("curves", _CURVE_PX, label, parts)


@dataclass(frozen=True, slots=True)
class ValuePoint:
    """A candidate's figure over its value, from 0 to the axis' largest.

    Attributes:
        value: where it stands.
        figure: how high.
        interval: of the figure.
        shipped: whether it is the one that was chosen: a diamond with its value above.
        name: is written below the axis, such as that of an end.
    """

    value: float
    figure: float
    interval: Interval | None
    shipped: bool = False
    name: str = ""


def value_curve(
    points: Sequence[ValuePoint],
    scale: Axis,
    label: str,
    tick: Callable[[float], str],
    allowed: float | None = None,
    fitted: Sequence[tuple[float, float]] = (),
    *,
    most: float = 1.0,
    mark: str = "shipped",
) -> Markup:
    """Draw a figure over the value of a mixture or the strength of boosting, with intervals.

    Args:
        points: by value.
        scale: of the figures.
        label: what the drawing shows, for who does not see it.
        tick: writes a tick of the scale.
        allowed: the largest figure that may be chosen: a dashed line.
        fitted: (value, figure) of a curve through the points, in place of lines between them.
        most: the largest value of the axis.
        mark: the word above the point that was chosen.
    """
    floor = _VALUES_PX - _VALUES_BOTTOM_PX

    def across(value: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * value / most, 2)

    def down(figure: float) -> float:
        return round(floor - (floor - _CURVE_TOP_PX) * scale.at(figure) / 100, 1)

    parts: list[Markup] = []
    for place in scale.ticks:
        height = down(place)
        kind = "grid" if place else "zero"
        parts.append(_line(_LEFT - 1, str(height), _RIGHT + 2, str(height), kind))
        parts.append(_text(_LEFT - 2, height + 4, tick(place), "tick", "end"))
    if allowed is not None:
        height = down(allowed)
        parts.append(_line(_LEFT - 1, str(height), _RIGHT + 2, str(height), "allowed"))
    for point in points:
        x = across(point.value)
        if point.shipped:
            parts.append(_line(x, str(_CURVE_TOP_PX), x, str(floor), "chosen"))
            parts.append(_text(x, _CURVE_TOP_PX - 8, f"{mark}: {point.value:g}", "figure"))
        if point.interval is not None:
            ends = down(point.interval.high), down(point.interval.low)
            parts.append(_line(x, str(ends[0]), x, str(ends[1]), "whisker"))
            parts += [
                _line(round(x - _CAP, 2), str(end), round(x + _CAP, 2), str(end), "whisker")
                for end in ends
            ]
    places = [(across(point.value), down(point.figure)) for point in points]
    drawn = [(across(value), down(figure)) for value, figure in fitted] or places
    parts += [_line(x1, str(y1), x2, str(y2), "curve") for (x1, y1), (x2, y2) in pairwise(drawn)]
    for point, (x, y) in zip(points, places, strict=True):
        parts.append(_DIAMOND.format(x, y) if point.shipped else _CIRCLE.format(x, y))
    for share in _VALUE_TICKS:
        value = share * most
        parts.append(_text(across(value), floor + 18, f"{value:g}", "tick"))
    parts += [
        _text(across(point.value), floor + 34, point.name, "figure")
        for point in points
        if point.name
    ]
    return _svg("curves", _VALUES_PX, label, parts)


def _svg(kind: str, height: int, label: str, parts: Iterable[Markup]) -> Markup:
    return Markup(
        '<svg class="{}" width="100%" height="{}" role="img" aria-label="{}">{}</svg>'
    ).format(kind, height, label, Markup().join(parts))


def _line(x1: float, y1: str, x2: float, y2: str, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{}%" y1="{}" x2="{}%" y2="{}"/>').format(
        kind, x1, y1, x2, y2
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str = "middle") -> Markup:
    return Markup('<text class="{}" x="{}%" y="{}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, escape(text)
    )
