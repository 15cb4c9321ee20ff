"""Makes the README's screenshots again: ``make screenshots``.

Drives the UI of a site as tests/integration/browser/test_ui.py does, but with the whole demo and
its three epochs.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from asr_flywheel.demo.prepare import prepare_baseline, prepare_cycle
from tests.support import prefect_site, prefect_ui

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from asr_flywheel.site.local_site import Site

_MOST_BYTES = 300_000


def shoot(page: Page, out: Path, name: str) -> None:
    """Save what the page shows.

    Raises:
        ValueError: the picture is too large for the repository.
    """
    page.wait_for_timeout(1500)  # animations
    path = out / f"{name}.png"
    page.screenshot(path=path)
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes, more than {_MOST_BYTES}")


def take(site: Site, cycle: Path, out: Path) -> None:
    """Run the demo from the form and save each picture."""
    with prefect_ui.opened(height=1000) as page:
        prefect_ui.open_form(page, site, "finetune-cycle")
        values = {"Cycle folder": str(cycle), "Base model": "embedded"}
        prefect_ui.fill(page, values)
        shoot(page, out, "ui-form")
        run = prefect_ui.start_run(page, site, values)
        prefect_site.ends(site, run, "Completed", 1800)
        prefect_ui.show_run(page, site, run)
        page.get_by_text("Completed").first.wait_for()
        shoot(page, out, "ui-run")
        clinic = cycle.parent.name
        for what, text in (
            ("leaderboard", "KER by entity category"),
            ("decision", "Cycle 2"),
            ("diff", "drug"),
            ("training", "validation WER"),
        ):
            prefect_ui.show_artifact(page, site, run, f"{clinic}-{what}", text)
            shoot(page, out, "leaderboard" if what == "leaderboard" else f"ui-{what}")


def main() -> None:
    """Bring up a site of its own, or take one that runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs"), help="gets the pictures")
    parser.add_argument("--work", type=Path, help="keeps the demo's cycle; by default a new folder")
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp())
    cycle = prepare_cycle(work.resolve() / "demo-run", seed=42)
    prepare_baseline(cycle)
    with prefect_site.running(Path(tempfile.mkdtemp())) as site:
        take(site, cycle, arguments.out)


if __name__ == "__main__":
    main()
