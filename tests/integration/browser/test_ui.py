"""The UI in a real browser: a run is started from its form, watched, retried, and read."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support import prefect_site, prefect_ui

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from asr_flywheel.site.local_site import Site


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A browser's page."""
    with prefect_ui.opened() as found:
        yield found


def test_a_run_is_started_from_the_form_and_its_artifacts_render(
    site: Site, page: Page, trained_cycle: Path
) -> None:
    """From the list of deployments to leaderboard, diff, decision and training curve."""
    prefect_ui.open_form(page, site, "finetune-cycle")
    values = {"Cycle folder": str(trained_cycle), "Base model": "embedded", "Epochs": 1}
    run = prefect_ui.start_run(page, site, values)
    asked = prefect_site.call(site, "GET", f"flow_runs/{run}")["parameters"]["config"]
    assert (asked["cycle"], asked["base"], asked["epochs"]) == tuple(values.values())
    prefect_site.ends(site, run, "Completed")
    prefect_ui.show_artifact(page, site, run, "clinic-leaderboard", "KER by entity category")
    prefect_ui.show_artifact(page, site, run, "clinic-diff", "drug")
    decision = prefect_site.artifact(site, run, "clinic-decision")["data"]
    prefect_ui.show_artifact(
        page, site, run, "clinic-decision", decision.splitlines()[0].lstrip("# ")
    )
    prefect_ui.show_artifact(page, site, run, "clinic-training", "validation WER")
    picture = page.locator("img[alt='Loss and validation WER']")
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 400


def test_a_failed_run_is_retried_by_the_button(
    site: Site, page: Page, trained: Path, tmp_path: Path
) -> None:
    """The same run, by its id, goes on to its end when what it lacked is there."""
    folder = tmp_path / "late" / "cycle1"
    run = prefect_site.launch(site, prefect_site.quick(folder))
    prefect_site.ends(site, run, "Failed")
    shutil.copytree(trained, folder)
    prefect_ui.show_run(page, site, run)
    page.get_by_role("button", name="Retry", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Retry", exact=True).click()
    prefect_site.wait_for(lambda: prefect_site.state(site, run) != "Failed")
    prefect_site.ends(site, run, "Completed")
    assert (folder.parent / "cycle2" / "run.json").is_file()
