"""A real browser in front of a site's UI."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support import prefect_site
from tests.support.chromium_browser import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from playwright.sync_api import Locator, Page

    from asr_flywheel.site.local_site import Site

_WAIT_MS = 90_000
_SUBMIT_S = 60.0


@contextmanager
def opened(width: int = 1280, height: int = 900) -> Iterator[Page]:
    """An empty page."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(_WAIT_MS)
        yield page


def open_form(page: Page, site: Site, name: str) -> None:
    """From the list of deployments to a deployment, and to the form of a run with parameters."""
    page.goto(f"{site.url}/deployments")
    page.get_by_role("link", name=name, exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    page.get_by_text("Parameters", exact=True).first.wait_for()


def fill(page: Page, values: Mapping[str, Any]) -> None:
    """Fill fields of the form by their titles; a number goes into an optional field."""
    for title, value in values.items():
        field = _field(page, title)
        if isinstance(value, int):
            field.get_by_role("button", name="int", exact=True).click()
            field.locator("input[type=number]").fill(str(value))
        else:
            field.locator("textarea, input").first.fill(value)


def _field(page: Page, title: str) -> Locator:
    label = page.locator(".schema-form-property__label").get_by_text(title, exact=False).first
    return label.locator("xpath=ancestor::div[contains(@class, 'p-label ')][1]")


def start_run(page: Page, site: Site, values: Mapping[str, Any]) -> str:
    """Fill the form and press Submit; return the id of the run that it makes.

    On a busy machine the form has stayed open without a word. A person fills it once more; three
    times in vain is an error with what the page shows.
    """
    before = _runs(site)
    for last in (False, False, True):
        fill(page, values)
        page.get_by_role("button", name="Submit", exact=True).click()
        try:
            prefect_site.wait_for(lambda: _runs(site) - before, _SUBMIT_S)
            break
        except TimeoutError as error:
            if last:
                raise AssertionError(page.locator("body").inner_text()) from error
            page.reload()
            page.get_by_text("Parameters", exact=True).first.wait_for()
    (run,) = _runs(site) - before
    return run


def _runs(site: Site) -> set[str]:
    return {one["id"] for one in prefect_site.call(site, "POST", "flow_runs/filter")}


def show_artifact(page: Page, site: Site, run: str, key: str, text: str) -> None:
    """Open the artifact that a run left under a key, and wait until a text of it is rendered."""
    page.goto(f"{site.url}/artifacts/artifact/{prefect_site.artifact(site, run, key)['id']}")
    page.get_by_text(text).first.wait_for()


def show_run(page: Page, site: Site, run: str) -> None:
    """Open a run's page."""
    page.goto(f"{site.url}/runs/flow-run/{run}")
