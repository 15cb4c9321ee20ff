"""The training curve and the cost of a cycle: what the figures are made of."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tasks.common import atomic_files
from tasks.data.cycle_folder import open_cycle
from tasks.records import cost_ledger
from tasks.records.cycle_cost import cost
from tasks.reporting.training_curve import TrainingCurve, curve, draw
from tasks.training.run import SftResult
from tasks.transcription.audio_sets import Transcript

if TYPE_CHECKING:
    from pathlib import Path


def step(batch: int, loss: float) -> dict[str, Any]:
    """A batch's event."""
    return {"event": "step", "batch": batch, "loss": loss}


def epoch(number: int, wer: float | None) -> dict[str, Any]:
    """An epoch's event."""
    return {"event": "epoch", "epoch": number, "val_wer": wer}


def test_validation_stands_at_the_batch_that_it_followed() -> None:
    """An epoch without a figure has no point."""
    events = [step(1, 9.0), step(2, 8.0), epoch(0, 0.5), step(3, 7.0), epoch(1, None)]
    assert curve(events) == TrainingCurve(((1, 9.0), (2, 8.0), (3, 7.0)), ((2, 0.5),))


def test_what_a_resumed_run_did_again_counts_once() -> None:
    """The later word is the one whose weights were kept."""
    events = [step(1, 9.0), step(2, 8.0), step(2, 6.0), epoch(0, 0.5), epoch(0, 0.4)]
    assert curve(events) == TrainingCurve(((1, 9.0), (2, 6.0)), ((2, 0.4),))


def test_the_picture_is_small_and_shows_both_lines() -> None:
    """It travels inside an artifact; both colours are in it, and more curve is more colour."""
    losses = tuple((batch, 10.0 / batch) for batch in range(1, 500))
    picture = draw(TrainingCurve(losses, ((249, 0.3), (499, 0.1))))
    assert len(picture) < 100_000
    colours = set(Image.open(io.BytesIO(picture)).convert("RGB").get_flattened_data())
    assert {(0, 114, 178), (213, 94, 0)} <= colours


@pytest.mark.parametrize("reused", [False, True])
def test_a_cycles_cost_counts_its_own_rentals(cycle: Path, *, reused: bool) -> None:
    """Seconds come from the records; dollars of other cycles stand apart."""
    for number, usd in ((1, 3.0), (1, 1.5), (2, 9.0)):
        entry = cost_ledger.entry(
            started=0.0,
            ended=3600.0,
            cycle=number,
            run="",
            provider="ssh",
            sku="l40s",
            host="h",
            usd_per_hour=usd,
            outcome=cost_ledger.RentalOutcome.COMPLETED,
        )
        cost_ledger.append(cycle.parent, entry)
    info = cycle / "training_run_info.json"
    atomic_files.write_json(info, {"wall_seconds": 86.6, "runtime": {"gpus": ["NVIDIA L40S"]}})
    trained = SftResult(cycle / "adapted_model.nemo", "", info, (), reused=reused)
    transcripts = [Transcript(cycle, ("a",), 1, 30.0, 2.0), Transcript(cycle, ("a",), 0, 0.0, 0.0)]
    found = cost(open_cycle(cycle), trained, transcripts)
    assert (found.training_s, found.trained_now, found.gpus) == (86.6, not reused, ("NVIDIA L40S",))
    assert (found.decoding_s, found.decoded_audio_s) == (2.0, 30.0)
    assert (found.rented_usd, found.rented_usd_all) == (4.5, 13.5)
