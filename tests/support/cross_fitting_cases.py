"""What cross-fitting promises, of a finished run: of the stub programs, or of NeMo's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asr_flywheel.demo.dataset import plan_cycle, synthesise_cycle
from flows.config import CycleConfig
from flows.finetune_cycle import CycleOutcome, finetune_cycle
from tasks.data.cycle_folder import open_cycle
from tasks.stages import evaluate
from tasks.training.recording_roles import TRAINED_NAME
from tests.support import factories

ROWS, SENTENCES, REPLAYED = 100, 44, 8
FEW = 70


def make_config(folder: Path, general: Path) -> CycleConfig:
    """The demo's first hundred rows with a baseline, two folds, some general English replayed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asr_flywheel.demo.dataset.plan_cycle", lambda seed: plan_cycle(seed)[:ROWS])
        synthesise_cycle(folder / "cycle1", workers=1)
    evaluate.transcribe_baseline(open_cycle(folder / "cycle1"), "embedded", None, (), print)
    return CycleConfig(
        cycle=folder / "cycle1",
        base="embedded",
        epochs=1,
        folds=2,
        variants=2,
        general=general,
        general_limit=1.0,
        replay_share=0.1,
        batch="auto",
    )


def run(config: CycleConfig) -> CycleOutcome:
    """Train three times: a fold each, and the model that is shipped.

    The split's rows ask for batches of four, a fold's fewer rows would ask for less.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tasks.training.recipes.batch_for", lambda _, rows, __: 4 if rows > FEW else 3
        )
        return finetune_cycle(config)


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def every_row_is_scored_by_a_model_that_never_saw_it(
    config: CycleConfig, outcome: CycleOutcome
) -> None:
    """Each row once; no fold's model was trained on what it scored."""
    assert outcome.decision is not None
    scored = rows(config.cycle.parent / "cycle2" / "crossfit_hyps.jsonl")
    manifest = rows(config.cycle / "manifest.jsonl")
    assert sorted(row["audio_filepath"] for row in scored) == sorted(
        row["audio_filepath"] for row in manifest
    )
    assert {row["part"] for row in scored} == {"held-out"}
    folds = sorted((config.cycle / "folds").iterdir())
    held_out = [
        {row["audio_filepath"] for row in rows(fold / "validation.jsonl")} for fold in folds
    ]
    for fold, own in zip(folds, held_out, strict=True):
        assert not own & {row["audio_filepath"] for row in rows(fold / "train.jsonl")}
    assert len(held_out[0] | held_out[1]) == ROWS
    assert len(list((config.cycle / "models").iterdir())) == 3


def folds_are_trained_by_the_recipe_of_the_model_that_is_shipped(config: CycleConfig) -> None:
    """Also where their own rows would ask for another: they grade what is shipped."""
    trained = (config.cycle / "models").glob("*/training_run_info.json")
    recipes = [json.loads(path.read_text())["recipe"] for path in trained]
    assert len(recipes) == 3
    assert recipes[0]["batch_size"] == 4
    assert recipes == recipes[:1] * 3
    for fold in (config.cycle / "folds").iterdir():
        assert len(rows(fold / "train.jsonl")) < FEW < len(rows(config.cycle / "train.jsonl"))


def the_decision_rests_on_all_rows_and_says_that_it_grades_the_recipe(
    config: CycleConfig, outcome: CycleOutcome
) -> None:
    """Missed terms counted by hand in the cross-fitted rows are the decision's figures."""
    second = config.cycle.parent / "cycle2"
    decided = json.loads((second / "decision.json").read_text())
    assert decided["basis"] == "cross-fitted"
    drugs = [
        row for row in rows(second / "crossfit_hyps.jsonl") if row["entity_category"] == "drug"
    ]
    varied = [row for row in rows(second / "variant_hyps.jsonl") if row["term"]]
    missed, missed_varied = (
        sum(f" {row['term']} " not in f" {row['hyp']} " for row in some) for some in (drugs, varied)
    )
    assert decided["by"]["drug"]["n"] == len(drugs) == len(varied) == ROWS
    assert decided["plain"]["drug"]["ker_b"] == missed / ROWS
    assert decided["by"]["drug"]["ker_b"] == (missed + missed_varied) / (2 * ROWS)
    assert decided["by"]["drug"]["ker_b"] < decided["by"]["drug"]["ker_a"]
    board = (second / "leaderboard_cycle2.md").read_text()
    assert "That grades the recipe; the model that is shipped was trained on the split." in board
    assert "| cross-fitted | 100 |" in board
    assert "- unseen term: KER " in board


def the_guardrails_sentences_were_not_trained_on(
    config: CycleConfig, outcome: CycleOutcome
) -> None:
    """Some of the set was replayed; all others guard, as too few rows choose."""
    second = config.cycle.parent / "cycle2"
    found = json.loads((second / "decision.json").read_text())["guardrail"]
    before, after = (
        rows(second / name) for name in ("general_baseline_hyps.jsonl", "general_hyps.jsonl")
    )
    assert found["n"] == len(before) == len(after)
    assert found["n"] == SENTENCES - REPLAYED
    assert found["limit"] == 0.01
    assert found["rise"] == pytest.approx(found["pooled_wer_b"] - found["pooled_wer_a"])
    assert found["ci"][0] <= found["rise"] <= found["ci"][1]
    guarding = {Path(row["audio_filepath"]).name for row in after}
    assert isinstance(config.general, Path)
    general = {Path(row["audio_filepath"]).name for row in rows(config.general)}
    for train in config.cycle.rglob("train.jsonl"):
        names = [Path(row["audio_filepath"]).name for row in rows(train)]
        replayed = [name for name in names if name in general]
        assert len(replayed) == REPLAYED
        assert not guarding & set(replayed)


def a_second_run_finds_every_fold_and_changes_nothing(
    config: CycleConfig, outcome: CycleOutcome
) -> None:
    """No training, nothing decoded, the same decision to the byte."""
    second = config.cycle.parent / "cycle2"
    before = (second / "decision.json").read_bytes()
    models = factories.snapshot(config.cycle / "models")
    again = finetune_cycle(config)
    assert again.decision == outcome.decision
    assert (second / "decision.json").read_bytes() == before
    assert factories.snapshot(config.cycle / "models") == models
    record = json.loads((second / "run.json").read_text())
    assert record["sft"]["reused"] is True
    assert {one["rows_decoded"] for one in record["transcription"]} == {0}
    assert "crossfit_hyps.jsonl" in record["files"]
    assert "general_hyps.jsonl" in record["files"]
    joined = rows(second / "general_joined_hyps.jsonl")
    found = json.loads((second / "decision.json").read_text())["joined_sentences"]["lengths"]
    assert sum(length["n"] for length in found) == len(joined) > 0
    assert "general_joined_hyps.jsonl" in record["files"]
    assert any((run / TRAINED_NAME).is_file() for run in (config.cycle / "models").iterdir())
