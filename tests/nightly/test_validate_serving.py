"""Serving parity of the demo's whole cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asr_flywheel.demo import dataset
from tasks.data.cycle_folder import open_cycle
from tasks.models.catalog import embedded_path
from tasks.serving import endpoint_transcription, validation
from tasks.serving.parity import MismatchKind
from tasks.serving.riva_client import Client, Endpoint
from tasks.stages import evaluate
from tests.support import riva_server
from tests.support.riva_server import Faults

if TYPE_CHECKING:
    from pathlib import Path


def test_a_clean_server_writes_exactly_what_was_measured(tmp_path: Path) -> None:
    """All 240 rows, to the letter."""
    cycle = open_cycle(tmp_path / "cycle1")
    dataset.synthesise_cycle(cycle.path)
    evaluate.transcribe_baseline(cycle, "embedded", None, (), print)
    plan = validation.plan(cycle, model=embedded_path())
    with riva_server.running(tmp_path, Faults()) as server:
        client = Client(Endpoint(server.address))
        served = endpoint_transcription.transcribe(
            plan.rows, client, plan.folder / endpoint_transcription.SERVED_NAME, 4
        )
        report = validation.compare(plan, client, served)
        client.close()
    assert report.verdict == "exact"
    assert report.comparison.counts[MismatchKind.EXACT] == len(plan.rows) == 240
