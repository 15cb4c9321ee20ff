"""The report's section on what is shipped: the choice, its curve, and every candidate's figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common.counted import counted
from tasks.reporting.html import svg_charts
from tasks.reporting.html.chart_data import mixture_curve
from tasks.reporting.html.metric_table import Figure
from tasks.reporting.html.number_format import fine_points, percent
from tasks.reporting.html.svg_charts import CurveFigure, ValuePoint
from tasks.training.remedies import describe_attempts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.reporting.html.chart_data import MixtureCurve, MixturePoint


@dataclass(frozen=True, slots=True)
class CandidateLine:
    """A candidate's figures in words."""

    value: str
    name: str
    ker: Figure
    wer: str
    rise: str
    rise_between: str
    by_curve: str
    holds: str
    holds_by: str


@dataclass(frozen=True, slots=True)
class ShippedSection:
    """What is shipped and why; the drawings are empty where no candidate was decoded."""

    mixed: bool
    statement: str
    reason: str
    notes: Sequence[str]
    drawings: Sequence[CurveFigure]
    candidates: Sequence[CandidateLine]


def describe_shipped(shipping: Mapping[str, Any] | None) -> ShippedSection | None:
    """Describe what decision.json calls ``shipping``; None for a run of an older version."""
    if shipping is None:
        return None
    value, mixed = shipping["value"], bool(shipping["mixed"])
    statement = "The tuned model is shipped as training left it."
    if mixed:
        statement = (
            f"A mixture is shipped: {value:g} of the tuned model’s weights and "
            f"{round(1 - value, 4):g} of the base’s."
        )
    notes = [*describe_attempts(shipping.get("attempts", ()))]
    if mixed:
        notes.append("Elsewhere on this page “tuned” means the mixture.")
    curve = mixture_curve(shipping)
    if curve is None:
        return ShippedSection(mixed, statement, shipping["reason"], notes, (), ())
    limit = None
    if curve.allowed_rise is not None:
        limit = curve.allowed_rise / shipping["rule"]["share_of_limit"]
    general = (
        f" and {counted(curve.sentences, 'sentence')} of general English" if curve.sentences else ""
    )
    basis = (
        f"Chosen by {counted(curve.rows, 'selection row')}{general}, which do not judge: the "
        "verdict rests on other rows. A row’s KER is the share of its variants, begun some "
        "milliseconds later, in which the term was missed."
    )
    notes.append(basis)
    return ShippedSection(
        mixed,
        statement,
        shipping["reason"],
        notes,
        tuple(_mixture_figures(curve)),
        tuple(_candidate_line(point, curve.allowed_rise, limit) for point in curve.points),
    )


def _mixture_figures(curve: MixtureCurve) -> Iterable[CurveFigure]:
    chosen = next((f"{point.value:g}" for point in curve.points if point.shipped), "none")
    kers = [
        ValuePoint(point.value, point.ker, point.ker_interval, point.shipped, point.end)
        for point in curve.points
        if point.ker is not None
    ]
    if kers:
        label = f"KER on {counted(curve.rows, 'selection row')} by value; shipped: {chosen}"
        drawing = svg_charts.value_curve(kers, svg_charts.SHARES, label, percent)
        yield CurveFigure("KER on the selection rows", "by value, with 95 % intervals", drawing)
    rises = [
        ValuePoint(point.value, point.rise, point.rise_interval, point.shipped, point.end)
        for point in curve.points
        if point.rise is not None
    ]
    if rises:
        allowed = curve.allowed_rise
        ends = [end for p in rises if p.interval for end in (p.interval.low, p.interval.high)]
        heights = [*(point.figure for point in rises), *(rise for _, rise in curve.rise_curve)]
        scale = svg_charts.axis([*heights, *ends, allowed or 0.0], step=0.005)
        label = (
            f"Rise of general WER on {counted(curve.sentences, 'sentence')} by value; shipped: "
            f"{chosen}"
        )
        note = "in points, by value, with 95 % intervals"
        if allowed is not None:
            label += f"; allowed: {fine_points(allowed, 3)} points"
            note += f"; line: the curve through all; dashed: the allowed {fine_points(allowed, 3)}"
        drawing = svg_charts.value_curve(rises, scale, label, _tick, allowed, curve.rise_curve)
        yield CurveFigure("Rise of general WER over the base", note, drawing)


def _tick(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "\u2212") if value else "0"


def _holds_by(point: MixturePoint, allowed: float | None, limit: float | None) -> str:
    """Say by which of the two conditions a candidate holds or not; "" where none was asked."""
    if point.holds is None or allowed is None or limit is None:
        return ""
    is_over = point.rise is not None and point.rise > limit + 1e-12
    if point.holds and is_over:
        error = "" if point.rise_error is None else f" of {100 * point.rise_error:.2f}"
        return f"by the curve; own rise over the limit by less than its standard error{error}"
    if point.holds or (point.by_curve is not None and point.by_curve > allowed + 1e-12):
        return "by the curve"
    return "own rise over the limit by more than its standard error"


def _candidate_line(
    point: MixturePoint, allowed: float | None, limit: float | None
) -> CandidateLine:
    interval = point.rise_interval
    return CandidateLine(
        f"{point.value:g}",
        " · ".join(name for name in (point.end, "shipped" if point.shipped else "") if name),
        Figure.of(point.ker, point.ker_interval),
        "–" if point.general_wer is None else f"{100 * point.general_wer:.1f} %",
        "–" if point.rise is None else fine_points(point.rise),
        "" if interval is None else f"{fine_points(interval.low)} to {fine_points(interval.high)}",
        "–" if point.by_curve is None else fine_points(point.by_curve, 3),
        {True: "✓ holds", False: "✕ no", None: "–"}[point.holds],
        _holds_by(point, allowed, limit),
    )
