"""Debian's Chromium, driven by Playwright, which downloads no browser of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

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


def watch(tab: Page) -> list[str]:
    """What a tab asks for, complains of and shows from now on; the list grows."""
    seen: list[str] = []
    tab.on("console", lambda message: seen.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: seen.append(f"error: {error}"))
    tab.on("request", lambda request: seen.append(f"request: {request.url[:60]}"))
    tab.on("dialog", lambda dialog: seen.append(f"dialog: {dialog.message}"))
    return seen
