"""The report that people look at: one self-contained HTML file a cycle, and figures as PNG.

evidence.py gathers what it tells, charts.py draws it into the page, audio.py packs the recordings,
page.py fills the template; figures.py draws the same as PNG.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks import files
from tasks.report.evidence import gather
from tasks.report.figures import write_figures
from tasks.report.page import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasks.cycle import Cycle

__all__ = ["write_report"]


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
    files.write_text(page, render(evidence))
    return [page, *figures]
