"""Drawings and numbers of the report: axes, differences, the course of a training, minus signs."""

from __future__ import annotations

import pytest

from tasks.evaluation.statistics import Interval
from tasks.reporting.html import chart_data, svg_charts
from tasks.reporting.html.number_format import points
from tasks.training.progress import Epoch


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([], -0.1, 0.1), ([-0.4, 0.05], -0.5, 0.1), ([-1.0, 1.0], -1.2, 1.2)],
)
def test_an_axis_holds_its_values_and_zero(values: list[float], low: float, high: float) -> None:
    """With few, round ticks, one of them zero, and room at both ends."""
    scale = svg_charts.axis(values)
    assert (scale.low, scale.high) == (low, high)
    assert 0.0 in scale.ticks
    assert all(0 < scale.at(value) < 100 for value in values)


def test_a_difference_without_an_interval_is_a_dot() -> None:
    """And with one it has a line; better, worse and no change differ in kind."""
    scale = svg_charts.axis([-0.5, 0.5])
    assert svg_charts.difference(scale, 0.0, None, "x").count("whisker") == 0
    drawn = svg_charts.difference(scale, -0.2, Interval(-0.4, 0.1), 'a "quoted" <name>')
    assert "whisker" in drawn
    assert "dot better" in drawn
    assert "&#34;quoted&#34; &lt;name&gt;" in drawn
    assert "dot worse" in svg_charts.difference(scale, 0.2, None, "x")


def test_page_and_png_show_the_charts_that_have_values() -> None:
    """What no epoch measured is in neither drawing."""
    epochs = [
        Epoch(number, number, loss, None, rate, seconds=1.0)
        for number, (loss, rate) in enumerate([(3.0, 0.5), (2.0, 0.25), (1.0, 0.25)], 1)
    ]
    series = chart_data.training_series(epochs)
    assert [(chart.title, chart.best) for chart in series] == [
        ("Validation WER", 1),
        ("Training loss", None),
    ]


def test_points_have_a_real_minus_sign() -> None:
    """And no sign without a difference."""
    assert [points(value) for value in (-0.4, 0.051, 0.0)] == ["−40", "+5", "0"]
