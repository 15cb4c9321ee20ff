"""An automation with a slow clock: a run whose host is gone."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import pytest

from asr_flywheel.site import automations
from asr_flywheel.site.automations import Wanted
from tasks.data.cycle_folder import open_cycle
from tasks.data.cycle_lock import lock_cycle
from tests.support import prefect_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asr_flywheel.site.local_site import Site


@pytest.fixture
def clean(site: Site) -> Iterator[None]:
    """No automation is left for other tests."""
    yield
    for one in prefect_site.call(site, "POST", "automations/filter"):
        prefect_site.call(site, "DELETE", f"automations/{one['id']}")


@pytest.mark.usefixtures("clean")
def test_a_run_whose_host_is_gone_is_marked_as_crashed(site: Site, trained_cycle: Path) -> None:
    """Run and worker are killed; without the automation it would be Running for ever."""
    with prefect_site.speaking_to(site):
        automations.register(Wanted(lost_after=dt.timedelta(seconds=45)), enable=True)
    with lock_cycle(open_cycle(trained_cycle)):
        run = prefect_site.launch(site, prefect_site.quick(trained_cycle, when_busy="wait"))
        prefect_site.wait_for(lambda: prefect_site.state(site, run) == "Running")
        prefect_site.says(site, run, "another run works on")
        # Alive, and silent but for its heartbeat, for longer than a lost run would be.
        time.sleep(50)
        assert prefect_site.state(site, run) == "Running"
        prefect_site.lose(site, run)
        try:
            prefect_site.ends(site, run, "Crashed", 180)
        finally:
            site.start_worker()
    said = prefect_site.call(site, "GET", f"flow_runs/{run}")["state"]["message"]
    assert "heartbeat has stopped" in said
