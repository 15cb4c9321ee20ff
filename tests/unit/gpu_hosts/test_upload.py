"""Where a cycle lies on a rented host: its folder's name is the clinic's in store and Prefect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.data.cycle_folder import Cycle, clinic_of, open_cycle
from tasks.gpu_hosts import upload
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("folder", "there"),
    [("ward3", "ward3"), ("Ward 3", "ward-3"), ("ward3/labelled", "ward3-labelled")],
)
def test_the_clinic_has_the_same_name_on_the_host(tmp_path: Path, folder: str, there: str) -> None:
    """Of labelled cycles, too, whose folder has the same name in every clinic."""
    cycle = open_cycle(factories.make_cycle(tmp_path / folder))
    cargo = upload.UploadPlan(cycle, "embedded")
    placed, _ = upload._plan_parts("/root", cargo, tmp_path)
    assert placed.cycle == f"/root/{there}/cycle1"
    remote = Cycle(type(tmp_path)(placed.cycle), 1)
    assert clinic_of(remote) == clinic_of(cycle)
