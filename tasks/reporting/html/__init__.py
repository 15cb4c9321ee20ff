"""The report that people look at: one self-contained HTML file a cycle, and figures as PNG.

report_data.py gathers what it tells, chart_data.py says what each chart shows, svg_charts.py draws
it into the page and png_figures.py as PNG, audio_clips.py packs the recordings, page.py fills the
template. review_page.py makes the second page, on which a person marks the worst rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.reporting.html.page import render
from tasks.reporting.html.png_figures import write_figures
from tasks.reporting.html.report_data import gather
from tasks.reporting.html.review_page import render_review

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle

__all__ = ["write_report", "write_review"]


def write_report(cycle: Cycle, record: Mapping[str, Any]) -> list[Path]:
    """Write report_cycle<N+1>.html and its figures into cycle N+1's folder.

    Args:
        cycle: cycle N+1, with the evaluations and the decision of a run.
        record: what run.json holds or will hold.

    Returns:
        The files, the page first.

    Raises:
        InputError: a file of the run is missing or damaged.
    """
    evidence = gather(cycle, record)
    figures = write_figures(evidence)
    page = cycle.path / f"report_cycle{cycle.number}.html"
    atomic_files.write_text(page, render(evidence))
    return [page, *figures]


def write_review(cycle: Cycle, record: Mapping[str, Any]) -> Path:
    """Write review_cycle<N+1>.html into cycle N+1's folder: the worst rows with buttons.

    Raises:
        InputError: a file of the run is missing or damaged.
    """
    page = cycle.path / f"review_cycle{cycle.number}.html"
    atomic_files.write_text(page, render_review(gather(cycle, record)))
    return page
