"""What a run leaves in the next cycle's folder, and what it must not replace there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.decision import evidence
from tasks.decision.verdict import decide
from tasks.evaluation import diff
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.scoring import score
from tasks.records import run_record
from tasks.stages.shipped_model import ShippedModel
from tests.support import factories, prepared_cycles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["offline_hyps.jsonl", "leaderboard_cycle2.md", "decision.json"])
def test_results_that_no_run_wrote_stop_the_run(tmp_path: Path, name: str) -> None:
    """A user's own evaluation of cycle 2 is not overwritten by tuning cycle 1."""
    following = tmp_path / "cycle2"
    following.mkdir()
    (following / name).write_text("mine")
    with pytest.raises(InputError, match="no run of this tool wrote it"):
        run_record.require_free(open_cycle(following))
    assert (following / name).read_text() == "mine"


def test_looking_leaves_nothing(tmp_path: Path) -> None:
    """A manifest that is refused afterwards must not have made a folder."""
    (tmp_path / "cycle1").mkdir()
    run_record.require_free(open_cycle(tmp_path / "cycle1").next)
    assert [path.name for path in tmp_path.iterdir()] == ["cycle1"]


def test_results_of_a_broken_or_a_finished_run_may_be_replaced(tmp_path: Path) -> None:
    """Starting again must not need a clean-up by hand."""
    following = tmp_path / "cycle2"
    following.mkdir()
    cycle = open_cycle(following)
    run_record.begin(cycle)
    (following / "offline_hyps.jsonl").write_text("half of a run")
    run_record.require_free(cycle)
    (following / ".run-begun").unlink()
    (following / "run.json").write_text("{}")
    run_record.require_free(cycle)


def test_a_manifest_for_the_next_turn_is_no_obstacle(tmp_path: Path) -> None:
    """The user may have begun to grow cycle 2 already."""
    following = tmp_path / "cycle2"
    following.mkdir()
    (following / "manifest.jsonl").write_text("{}")
    run_record.require_free(open_cycle(following))


def test_a_file_in_the_next_cycles_place_is_named_before_training(tmp_path: Path) -> None:
    """Not after it."""
    (tmp_path / "cycle1").mkdir()
    (tmp_path / "cycle2").write_text("")
    with pytest.raises(InputError, match="cannot be written there"):
        run_record.require_free(open_cycle(tmp_path / "cycle1").next)


def test_a_decision_names_what_is_shipped(tmp_path: Path) -> None:
    """Value, reason, three hashes, every candidate's figures, and the number of verdicts."""
    before, after = (
        score(factories.evaluated(missed, 20, part=Partition.HELD_OUT)) for missed in (10, 2)
    )
    pairing = diff.pair(before, after)
    decided = decide(evidence.evidence(pairing), ["drug"])
    reading = evidence.read_all_rows(pairing, ["drug"])
    choice = prepared_cycles.mixture()
    shipped = ShippedModel(
        tmp_path / "adapted_model.nemo",
        "e" * 64,
        {
            "key": "k",
            "mixed": True,
            "base_sha256": "b" * 64,
            "tuned_sha256": "f" * 64,
            "seconds": 1.0,
            **choice.as_dict(),
        },
        None,
        "f" * 64,
    )
    (tmp_path / "cycle2").mkdir()
    cycle = open_cycle(tmp_path / "cycle2")
    run_record.write_decision(
        cycle,
        decided,
        reading,
        pairing.by_category,
        pairing.by_category,
        shipping=shipped.as_dict(),
        verdicts=3,
    )
    told = run_record.read_decision(cycle)
    assert told["verdicts"] == 3
    shipping = told["shipping"]
    assert (shipping["value"], shipping["reason"]) == (0.4, choice.reason)
    hashes = [shipping[f"{name}_sha256"][0] for name in ("base", "tuned", "shipped")]
    assert hashes == ["b", "f", "e"]
    assert [one["value"] for one in shipping["candidates"]] == [0.0, 0.4, 1.0]
    assert all(one["ker"] is not None for one in shipping["candidates"])
    assert not {"key", "seconds"} & shipping.keys()
