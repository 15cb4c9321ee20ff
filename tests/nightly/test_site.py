"""A site with a slow clock: the lease of a killed worker's slot ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import prefect_site, stub_programs

if TYPE_CHECKING:
    from pathlib import Path

    from asr_flywheel.site.local_site import Site


@pytest.fixture
def cycle(fresh_cycle: Path) -> Path:
    """A cycle to be trained on."""
    return fresh_cycle


def test_a_killed_worker_does_not_hold_the_gpu_for_ever(site: Site, cycle: Path) -> None:
    """Worker and run are killed while they hold the slot; a new worker's run trains and ends."""
    with stub_programs.held(cycle):
        lost = prefect_site.launch(site, prefect_site.quick(cycle))
        prefect_site.trains(site, lost, cycle)
        prefect_site.lose(site, lost)
    site.start_worker()
    again = prefect_site.launch(site, prefect_site.quick(cycle))
    prefect_site.ends(site, again, "Completed", 300)
