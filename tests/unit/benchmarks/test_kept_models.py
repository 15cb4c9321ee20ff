"""The table of seeds: its figures are those that the run's own files hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asr_flywheel.demo.terms import TERMS
from benchmarks import kept_models, other_drugs
from tasks.common import atomic_files

if TYPE_CHECKING:
    from pathlib import Path


def finish(work: Path, shipping: dict[str, Any], sections: list[dict[str, Any]]) -> Path:
    """Write what the table reads of a finished cycle."""
    model = work / "cycle1" / "models" / "run"
    (work / "cycle2").mkdir(parents=True)
    model.mkdir(parents=True)
    guard = {"pooled_wer_a": 0.04, "pooled_wer_b": 0.043, "status": "held"}
    atomic_files.write_json(
        work / "cycle2" / "decision.json",
        {
            "decision": "keep",
            "reasons": ["Gain shown."],
            "by": {"drug": {"ker_a": 0.9, "ker_b": 0.5}},
            "guardrail": guard,
            "shipping": shipping,
        },
    )
    board = {"sections": {"entity_category": sections}, "notes": []}
    atomic_files.write_json(work / "cycle2" / "leaderboard_cycle2.json", board)
    info = {
        "shipping": {"value": shipping["value"], "reason": "Stated.", "seconds": 1.5},
        "dataset": {"train_rows": 150},
    }
    atomic_files.write_json(model / "training_run_info.json", info)
    return work


def test_base_plain_tuned_and_shipped_model_stand_side_by_side(tmp_path: Path) -> None:
    """The plain tuned model's general WER is its guardrail's in decision.json."""
    unmixed = {"pooled_wer_a": 0.04, "pooled_wer_b": 0.065}
    row = {"model": "embedded tuned, unmixed", "rows": "held-out", "entity_category": "drug"}
    sections = [{**row, "entity_category": "lab", "KER": 0.1}, {**row, "KER": 0.4}]
    shipping = {"value": 0.5, "unmixed_guardrail": unmixed}
    kept = kept_models.read(finish(tmp_path / "seed", shipping, sections), 7)
    assert (kept.seed, kept.value, kept.verdict) == (7, 0.5, "keep")
    assert kept.drug_ker == (0.9, 0.4, 0.5)
    assert kept.general_wer == (0.04, 0.065, 0.043)
    assert kept.general_rise == pytest.approx((2.5, 0.3))


def test_a_tuned_model_that_is_shipped_as_it_is_stands_in_both_columns(tmp_path: Path) -> None:
    """There is no other model to decode."""
    work = finish(tmp_path / "seed", {"value": 1.0, "unmixed_guardrail": None}, [])
    kept = kept_models.read(work, 7)
    assert kept.drug_ker == (0.9, 0.5, 0.5)
    assert kept.general_wer == (0.04, 0.043, 0.043)


def test_the_other_drugs_are_not_the_demos() -> None:
    """As many, each with a dose; the terms of the other categories stay."""
    drugs = {term.text for term in other_drugs.OTHER_DRUGS}
    demo = {term.text for term in TERMS if term.category == "drug"}
    assert len(drugs) == len(other_drugs.OTHER_DRUGS) == len(demo)
    assert not drugs & demo
    assert all(term.dose for term in other_drugs.OTHER_DRUGS)
    assert len(other_drugs.other_terms()) == len(TERMS)
