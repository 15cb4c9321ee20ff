"""What the rows set apart to choose were to a model: list and evaluations say the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from flows.config import CycleConfig
from flows.cycle_run import CycleRun
from flows.training_tasks import mark_choice, recording_roles, selection_chooses
from tasks.data.cycle_folder import open_cycle
from tasks.data.preflight import CheckedRow, PreflightResult
from tasks.data.split_parts import Split
from tasks.data.training_set import write_training_set
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.leaderboard import partition_entries
from tasks.evaluation.row_basis import CHOSE
from tasks.evaluation.scoring import score
from tasks.training.recipes import recipe
from tasks.transcription.audio_sets import Transcript
from tasks.transcription.rows import hypotheses
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


def parts_of(cycle: Path, chosen: int, **settings: Any) -> tuple[set[str], set[Partition | None]]:
    """Hashes that the list says chose, and marks of the selection rows, of so many of these."""
    name = settings.pop("recipe", "verified")
    rows = tuple(
        CheckedRow(
            factories.utterance(number, "drug", text="give aspirin", term="aspirin"),
            cycle / f"{number}.wav",
            f"{number}",
            "text",
            None,
        )
        for number in range(1, chosen + 21)
    )
    numbers = tuple(row.utterance.row for row in rows)
    split = Split(numbers[:10], numbers[10:20], (), numbers[20:])
    checked = PreflightResult(cycle / "manifest.jsonl", rows, ())
    data = write_training_set(cycle, rows, split)
    config = CycleConfig(cycle=cycle, priority=["drug"], **settings)
    run = CycleRun(config, open_cycle(cycle), cycle / "base.nemo", runtime=None)  # type: ignore[arg-type]
    chose = selection_chooses(run, recipe(name), checked, data)
    roles = recording_roles(run, data, None, chosen=chose)
    marked = mark_choice(run, recipe(name), checked, data).split
    silent = Transcript(data.train, ("",) * len(rows), 0, 0.0, 0.0)
    made = hypotheses(rows, silent, marked)
    assert not roles.chose & set(map(str, numbers[:20]))
    (entry,) = (e for e in partition_entries("model", score(made)) if e.rows == CHOSE)
    assert entry.scores.n == chosen
    return set(roles.chose), {row.part for row in made[20:]}


@pytest.mark.parametrize("chosen", [5, 19])
def test_too_few_selection_rows_chose_nothing(cycle: Path, chosen: int) -> None:
    """The last checkpoint and a stated value are taken: the rows are unseen, and judge later."""
    assert parts_of(cycle, chosen) == (set(), {Partition.CHOSE_NOTHING})


def test_enough_selection_rows_chose(cycle: Path) -> None:
    """They judge neither this model nor one that is tuned from it."""
    recordings, marks = parts_of(cycle, 20)
    assert recordings == {str(number) for number in range(21, 41)}
    assert marks == {Partition.CHOSE}


def test_rows_that_ended_a_training_chose_its_last_epoch(cycle: Path) -> None:
    """Too few to choose a checkpoint, but early stopping looks at them."""
    recordings, marks = parts_of(cycle, 5, recipe="production")
    assert recordings == {str(number) for number in range(21, 26)}
    assert marks == {Partition.CHOSE}


def test_rows_that_chose_nothing_are_unseen_and_do_not_judge_their_own_run() -> None:
    """The gate of the next cycle counts them; the verdict rests on the held-out rows."""
    row = score(factories.evaluated(1, 1)).rows[0].row
    marked = {part: replace(row, part=part) for part in (None, *Partition)}
    assert [part for part, one in marked.items() if one.is_unseen] == [
        None,
        Partition.HELD_OUT,
        Partition.CHOSE_NOTHING,
    ]
    assert [part for part, one in marked.items() if one.judges] == [None, Partition.HELD_OUT]
