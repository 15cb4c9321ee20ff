"""Serving parity of the demo's whole cycle, and of planted faults of the sample rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asr_flywheel.demo import dataset
from tasks.data.cycle_folder import open_cycle
from tasks.models.catalog import embedded_path
from tasks.serving import endpoint_transcription, validation
from tasks.serving.parity import MismatchKind
from tasks.serving.riva_client import Client, Endpoint
from tasks.stages import evaluate
from tests.support import riva_server
from tests.support.planted_faults import MORE_RATES, check_named
from tests.support.riva_server import Faults

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.serving.causes import CauseName


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Cycle:
    """The demo's cycle with the embedded base's offline evaluation."""
    folder = tmp_path_factory.mktemp("demo") / "cycle1"
    dataset.synthesise_cycle(folder)
    cycle = open_cycle(folder)
    evaluate.transcribe_baseline(cycle, "embedded", None, (), print)
    return cycle


def test_a_clean_server_writes_exactly_what_was_measured(evaluated: Cycle, tmp_path: Path) -> None:
    """All 240 rows, to the letter."""
    plan = validation.plan(evaluated, model=embedded_path())
    with riva_server.running(tmp_path, Faults()) as server:
        client = Client(Endpoint(server.address))
        target = plan.folder / endpoint_transcription.SERVED_NAME
        served = endpoint_transcription.transcribe(plan.rows, client, target, 4)
        report = validation.compare(plan, client, served)
        client.close()
    assert report.verdict == "exact"
    assert report.comparison.counts[MismatchKind.EXACT] == len(plan.rows) == 240


@pytest.mark.parametrize(("faults", "wanted"), MORE_RATES.values(), ids=list(MORE_RATES))
def test_a_planted_rate_is_named(
    evaluated: Cycle, tmp_path: Path, faults: Faults, wanted: CauseName
) -> None:
    """Among all 240 rows, of which some are probed."""
    plan = validation.plan(evaluated, model=embedded_path())
    check_named(plan, faults, wanted, tmp_path)
