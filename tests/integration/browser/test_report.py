"""The report in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import privacy_settings
from tasks.data.cycle_folder import open_cycle
from tasks.records import run_record
from tasks.reporting.html import write_report
from tests.support import prepared_cycles
from tests.support.chromium_browser import chromium, watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cycle 2 as a finished run left it, in a folder with an awkward name."""
    parent = tmp_path_factory.mktemp("clinic") / "St. Mary's <b>&"
    return prepared_cycles.finish_turn(
        parent, 1, prepared_cycles.Turn(shipped=prepared_cycles.mixture(), verdicts=3)
    )


@pytest.fixture(scope="module")
def page(finished: Path) -> str:
    """The report's text."""
    cycle = open_cycle(finished)
    with privacy_settings.applied(audio=True):
        written = write_report(cycle, run_record.read(cycle))
    return written[0].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def opened(finished: Path, page: str) -> Iterator[tuple[Page, list[str]]]:
    """The report in a browser, with everything that it asked for or complained of."""
    assert page
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        seen = watch(tab)
        tab.goto((finished / "report_cycle2.html").as_uri())
        yield tab, seen


def test_a_browser_opens_it_without_complaint_or_request(
    opened: tuple[Page, list[str]], finished: Path
) -> None:
    """The only request is the file's own, and its title and text are there."""
    tab, seen = opened
    assert len(seen) == 1, seen
    assert seen[0].startswith("request: file://")
    assert "cycle 2" in tab.title().lower()
    assert tab.inner_text("h1") == "Keep the mixture."
    assert prepared_cycles.NASTY in tab.inner_text("main")


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_no_width_needs_scrolling_to_the_side(opened: tuple[Page, list[str]], width: int) -> None:
    """On a desk, on a phone, and on a small one."""
    tab, _ = opened
    tab.set_viewport_size({"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_a_recording_plays(opened: tuple[Page, list[str]]) -> None:
    """The browser decodes it: a duration near the recording's 0.2 s."""
    tab, _ = opened
    duration: Any = tab.evaluate(
        """() => new Promise((done, failed) => {
            const audio = document.querySelector("audio");
            audio.onloadedmetadata = () => done(audio.duration);
            audio.onerror = () => failed(audio.error);
            audio.load();
        })"""
    )
    assert 0.1 < duration < 0.5
