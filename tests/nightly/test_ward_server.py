"""The ward server under load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import ward_server
from tests.support import band_bundles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.needs("proc", "edge")
def test_a_thousand_requests_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    """Each gets its own text; memory no longer grows in the second half; no file is opened."""
    measured = ward_server.measure(band_bundles.write_bundle(tmp_path / "bundle"))
    assert (measured.requests, measured.lost, measured.different) == (1000, 0, 0)
    assert measured.files == ()
    assert measured.memory_mib[-1] < 1.05 * measured.memory_mib[len(measured.memory_mib) // 2]
