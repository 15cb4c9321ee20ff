"""The review page in a real browser: what it saves, and that nothing leaves it."""

from __future__ import annotations

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tasks.data.cycle_folder import open_cycle
from tasks.data.row_reviews import RowMark, read_reviews
from tasks.records import run_record
from tasks.reporting.html import write_review
from tests.support import prepared_cycles
from tests.support.chromium_browser import chromium, watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """Cycle 2 as a finished run left it, with its review page."""
    folder = prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn())
    cycle = open_cycle(folder)
    write_review(cycle, run_record.read(cycle))
    return folder


@pytest.fixture
def opened(finished: Path) -> Iterator[tuple[Page, list[str]]]:
    """The page, with everything that it asked for or complained of."""
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        seen = watch(tab)
        tab.goto((finished / "review_cycle2.html").as_uri())
        yield tab, seen


def test_what_is_marked_is_saved_and_read_by_the_next_cycle(
    opened: tuple[Page, list[str]], finished: Path, tmp_path: Path
) -> None:
    """Clicks become a file; a second click takes a mark back; nothing was asked of a network."""
    tab, seen = opened
    rows = tab.locator("[data-mark-row]")
    assert tab.inner_text("#state") == f"0 of {rows.count()} rows marked"
    rows.nth(0).get_by_role("button", name="Reference wrong").click()
    rows.nth(0).get_by_label("Note").fill("says <atenolol>")
    rows.nth(1).get_by_role("button", name="Unclear").click()
    rows.nth(1).get_by_role("button", name="Fine").click()
    rows.nth(2).get_by_role("button", name="Unclear").click()
    rows.nth(2).get_by_role("button", name="Unclear").click()
    assert tab.inner_text("#state") == f"2 of {rows.count()} rows marked, not saved"
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename == "review_cycle2.json"
    assert tab.inner_text("#state") == f"2 of {rows.count()} rows marked"
    target = tmp_path / "cycle1" / "review_cycle2.json"
    download.value.save_as(target)
    saved = json.loads(target.read_text())
    assert saved["schema"] == "asr-flywheel-review/1"
    first, second = read_reviews(open_cycle(finished)).reviews
    assert (first.mark, first.note) == (RowMark.REFERENCE_WRONG, "says <atenolol>")
    assert second.mark is RowMark.FINE
    assert first.audio_sha256 is not None
    said = [line for line in seen if not line.startswith(("request: file:", "request: blob:"))]
    assert said == []


@pytest.fixture
def listening() -> Iterator[tuple[str, list[str]]]:
    """A server on loopback, and each line of a request that reached it."""
    reached: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        """Answers everything, and keeps it."""

        def do_GET(self) -> None:
            """Answer."""
            reached.append(self.requestline)
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", reached
    server.shutdown()
    thread.join()
    server.server_close()


def test_nothing_can_leave_the_page(
    opened: tuple[Page, list[str]], listening: tuple[str, list[str]]
) -> None:
    """Requests, beacons, images, forms, sockets, other scripts: the browser refuses each."""
    tab, seen = opened
    address, reached = listening
    ran = tab.evaluate(
        """async (address) => {
            await fetch(`http://${address}/fetch`).catch(() => null);
            navigator.sendBeacon(`http://${address}/beacon`, "text");
            const image = new Image();
            image.src = `http://${address}/image`;
            const frame = document.createElement("iframe");
            frame.src = `http://${address}/frame`;
            const style = document.createElement("link");
            style.rel = "stylesheet";
            style.href = `http://${address}/style`;
            const form = document.createElement("form");
            form.action = `http://${address}/form`;
            const script = document.createElement("script");
            script.textContent = "document.body.dataset.ran = 'script'";
            const handler = document.createElement("p");
            handler.setAttribute("onclick", "document.body.dataset.ran = 'handler'");
            document.body.append(image, frame, style, form, script, handler);
            handler.click();
            form.submit();
            try { new WebSocket(`ws://${address}/socket`); } catch { /* refused at once */ }
            await new Promise((done) => setTimeout(done, 1000));
            return document.body.dataset.ran || "nothing";
        }""",
        address,
    )
    assert ran == "nothing"
    assert reached == []
    assert sum("Content Security Policy" in line for line in seen) >= 8
    # The server does answer where a policy does not forbid it.
    with urllib.request.urlopen(f"http://{address}/here") as answer:
        assert answer.status == 200
    assert reached == ["GET /here HTTP/1.1"]


@pytest.mark.parametrize("width", [1280, 320])
def test_no_width_needs_scrolling_to_the_side(opened: tuple[Page, list[str]], width: int) -> None:
    """On a desk and on a small phone."""
    tab, _ = opened
    tab.set_viewport_size({"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
