"""The report's charts as PNG, for a leaderboard or a slide: figures/*.png of cycle N+1.

matplotlib is imported when a figure is drawn, and draws without a display.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.reporting.html.chart_data import (
    Direction,
    category_differences,
    direction_of,
    mixture_curve,
    training_series,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from tasks.reporting.html.chart_data import MixtureCurve
    from tasks.reporting.html.report_data import CategoryChange, ReportData

FOLDER = "figures"
_BASE, _TUNED, _WORSE, _MUTED = "#e69f00", "#0072b2", "#d55e00", "#56636f"
_COLOURS = {Direction.BETTER: _TUNED, Direction.WORSE: _WORSE, Direction.SAME: _MUTED}
_DPI = 150
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _MUTED,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    # A dollar in a term is a dollar, not the start of a formula.
    "text.parse_math": False,
}


def write_figures(evidence: ReportData) -> list[Path]:
    """Draw and write every figure that the rows allow; an earlier run's others are removed.

    Returns:
        The files.
    """
    folder = evidence.cycle.path / FOLDER
    drawn = {
        "ker_by_category.png": _forest(evidence),
        "ker_by_noise.png": _bars(evidence.changes("noise_level"), "noise level"),
        "ker_by_ipa_source.png": _bars(evidence.changes("ipa_source"), "pronunciation source"),
        "training.png": _training(evidence),
        "mixture.png": _mixture(mixture_curve(evidence.decision.get("shipping"))),
    }
    paths = []
    for name, figure in drawn.items():
        target = folder / name
        if figure is None:
            target.unlink(missing_ok=True)
            continue
        with atomic_files.atomic_path(target) as temporary:
            # No date and no version inside: the same content gives the same file.
            figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})
        paths.append(target)
    return paths


def _figure(height: float, draw: Callable[[Figure], None]) -> Figure:
    import matplotlib as mpl  # noqa: PLC0415 - takes a second
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context():
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(7.2, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.canvas.draw()
    return figure


def _forest(evidence: ReportData) -> Figure | None:
    lines = [line for line in category_differences(evidence.deltas()) if line.n]
    if not lines:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(0, color=_MUTED, linewidth=1)
        for place, line in enumerate(lines):
            if (interval := line.interval) is not None:
                ends = (100 * interval.low, 100 * interval.high)
                axes.plot(ends, (place, place), color="black", linewidth=1.6, marker="|")
            colour = _COLOURS[direction_of(line.difference)]
            axes.plot(100 * line.difference, place, "o", color=colour, markersize=7)
        axes.set_yticks(range(len(lines)), [f"{line.name} (n={line.counted})" for line in lines])
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_xlabel("KER, tuned minus base, percentage points (95 % interval); left is better")
        rows = evidence.decision["basis"]
        axes.set_title(f"Cycle {evidence.cycle.number}: change in missed terms, {rows} rows")

    return _figure(1.5 + 0.38 * len(lines), draw)


def _bars(changes: Sequence[CategoryChange], dimension: str) -> Figure | None:
    if not changes:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, change in enumerate(changes):
            pairs = ((change.before, -0.19, _BASE, "//"), (change.after, 0.19, _TUNED, None))
            for share, shift, shade, hatch in pairs:
                rate = 100 * (share.rate or 0.0)
                name = ("base" if hatch else "tuned") if place == 0 else None
                fill, at = "white" if hatch else shade, place + shift
                axes.barh(at, rate, 0.32, hatch=hatch, label=name, fc=fill, ec=shade)
                if (interval := share.interval) is not None:
                    ends = (100 * interval.low, 100 * interval.high)
                    for colour, width in (("white", 3.6), ("black", 1.4)):
                        axes.plot(ends, (at, at), color=colour, linewidth=width, marker="|")
        labels = [f"{change.name} (n={change.after.bracket})" for change in changes]
        axes.set_yticks(range(len(changes)), labels)
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("KER, % of rows whose term was missed (95 % interval)")
        axes.set_title(f"Missed terms by {dimension}")
        axes.legend(loc="lower right", frameon=True)

    return _figure(1.5 + 0.62 * len(changes), draw)


def _training(evidence: ReportData) -> Figure | None:
    charts = training_series(evidence.epochs)
    if not charts:
        return None

    def draw(figure: Figure) -> None:
        columns = figure.subplots(1, len(charts), squeeze=False)[0]
        for axes, chart in zip(columns, charts, strict=True):
            known = [(n, value) for n, value in enumerate(chart.values, 1) if value is not None]
            marks = "s--" if chart.best is None else "o-"
            axes.plot([n for n, _ in known], [value for _, value in known], marks, color=_TUNED)
            if chart.best is not None:
                kept = chart.best + 1
                axes.plot(kept, chart.values[chart.best], "o", ms=11, mfc="none", mec=_TUNED)
            axes.set_ylim(0, 1.15 * max(value for _, value in known) or 1.0)
            axes.set_xlim(0.5, len(chart.values) + 0.5)
            axes.set_xlabel("epoch")
            axes.set_title(chart.title)
            axes.xaxis.get_major_locator().set_params(integer=True)

    return _figure(2.6, draw)


def _mixture(curve: MixtureCurve | None) -> Figure | None:
    if curve is None:
        return None
    panels = [
        (f"KER on {curve.rows} selection rows, %", "ker", "ker_interval"),
        (f"Rise of general WER, points ({curve.sentences} sentences)", "rise", "rise_interval"),
    ]
    drawn = [
        panel for panel in panels if any(getattr(p, panel[1]) is not None for p in curve.points)
    ]

    def draw(figure: Figure) -> None:
        columns = figure.subplots(1, len(drawn), squeeze=False)[0]
        for axes, (title, figure_name, interval_name) in zip(columns, drawn, strict=True):
            known = [p for p in curve.points if getattr(p, figure_name) is not None]
            heights = [100 * getattr(point, figure_name) for point in known]
            fitted = curve.rise_curve if figure_name == "rise" else ()
            if fitted:
                rises = [100 * rise for _, rise in fitted]
                axes.plot([value for value, _ in fitted], rises, color=_TUNED)
            marks = "o" if fitted else "o-"
            axes.plot([point.value for point in known], heights, marks, color=_TUNED, mfc="white")
            for point, height in zip(known, heights, strict=True):
                if (interval := getattr(point, interval_name)) is not None:
                    ends = (100 * interval.low, 100 * interval.high)
                    axes.plot((point.value,) * 2, ends, color="black", linewidth=1.2, marker="_")
                if point.shipped:
                    axes.plot(point.value, height, "D", ms=9, color=_TUNED, mec="black")
                    axes.axvline(point.value, color=_MUTED, linewidth=1, linestyle=":")
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("value: 0 is the base, 1 the plain tuned model")
        if drawn[-1][1] == "rise" and curve.allowed_rise is not None:
            most = 100 * curve.allowed_rise
            columns[-1].axhline(most, color=_WORSE, linestyle="--", label=f"allowed {most:+.3f}")
            columns[-1].legend(loc="upper left", frameon=True)
        shipped = [point.value for point in curve.points if point.shipped]
        if shipped:
            figure.suptitle(f"Shipped (diamond): value {shipped[0]:g}", fontsize=11)

    return _figure(3.2, draw)
