"""Rows that a review set apart: no stage counts them, and each says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.data.cycle_folder import open_cycle
from tasks.decision.gate_policy import GatePolicy
from tasks.evaluation import baseline
from tasks.evaluation.hypotheses import Hypothesis, Partition, write_hypotheses
from tasks.evaluation.leaderboard_markdown import leaderboard_as_markdown
from tasks.evaluation.scoring import score
from tasks.gpu_hosts import upload
from tasks.models.catalog import Method
from tasks.stages import compare, evaluate, prepare
from tasks.training.recipes import recipe
from tests.support import factories


def review(folder: Path, *rows: int) -> None:
    """Mark rows of a cycle of ten as wrong, by name and text alone."""
    written = factories.cycle_rows()
    marks = [
        {
            "audio_filepath": written[row]["audio_filepath"],
            "text": written[row]["text"],
            "mark": "reference-wrong",
        }
        for row in rows
    ]
    (folder / "review_cycle2.json").write_text(json.dumps({"rows": marks}))


def test_they_are_neither_split_nor_decoded(tmp_path: Path, lower_nemo: Path) -> None:
    """The preflight for training and the one for decoding both leave them out, with a warning."""
    folder = factories.make_cycle(tmp_path)
    review(folder, 0, 7)
    cycle = open_cycle(folder)
    for_training = prepare.check(cycle, lower_nemo, recipe("verified"))
    for_decoding = evaluate.check_audio(cycle, lower_nemo, ())
    for checked in (for_training, for_decoding):
        assert [row.utterance.row for row in checked.rows] == [2, 3, 4, 5, 6, 7, 9, 10]
        assert checked.set_apart == {"reference-wrong": 2}
        rows = [one.row for one in checked.warnings if one.code == "review-reference-wrong"]
        assert rows == [1, 8]


def test_the_gate_does_not_count_them(tmp_path: Path) -> None:
    """Neither in the manifest nor in the baseline; a note says how many there are."""
    folder = factories.make_cycle(tmp_path)
    rows = [
        Hypothesis(row["audio_filepath"], row["text"], "", row["term"], row["entity_category"])
        for row in factories.cycle_rows()
    ]
    write_hypotheses(folder / "offline_hyps.jsonl", rows)
    review(folder, 0, 1)
    cycle = open_cycle(folder)
    found = prepare.run_gate(
        cycle, "embedded", GatePolicy(), baseline.find_baseline(cycle, None), Method.SFT
    )
    figures: Any = found.as_dict()["figures"]
    assert figures["priority"]["drug"]["n"] == 3
    assert any("2 of 10 baseline rows are set apart by a review" in one for one in found.warnings)


def test_the_leaderboard_says_what_is_set_apart() -> None:
    """In the notes that a reader sees first."""
    before = score(
        [Hypothesis("a.wav", "give aspirin", "give", "aspirin", "drug", part=Partition.HELD_OUT)]
    )
    board, _ = compare.build_leaderboard(
        2,
        ("base", "tuned"),
        before,
        before,
        None,
        None,
        compare.SupplementaryResults((), None, 0),
        set_apart={"unclear": 1},
    )
    assert "> 1 row is set apart by a review (unclear: 1)" in leaderboard_as_markdown(board)


@pytest.mark.parametrize("beside", ["cycle1", "cycle2"])
def test_marks_travel_to_a_rented_host(tmp_path: Path, beside: str) -> None:
    """To the folder of the same cycle, from which the host reads them."""
    folder = factories.make_cycle(tmp_path)
    (tmp_path / "cycle2").mkdir(exist_ok=True)
    review(tmp_path / beside, 0)
    cargo = upload.UploadPlan(open_cycle(folder), "embedded")
    _, parts = upload._plan_parts("/host", cargo, tmp_path / "staging")
    targets = [part.target for part in parts if "review_cycle2.json" in part.names]
    assert [Path(target).name for target in targets] == [beside]
