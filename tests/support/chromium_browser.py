"""Debian's Chromium, driven by Playwright, which downloads no browser of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

# It must not call home from a test.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; skips the test where there is none."""
    needs.require("chromium")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where it is used

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needs.find("chromium"), args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()
