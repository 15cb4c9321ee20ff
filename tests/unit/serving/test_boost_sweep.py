"""What a sweep of boost scores says: the best score without more false keywords, or none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tasks.evaluation.error_counts import Proportion
from tasks.models.catalog import embedded_path
from tasks.models.nemo_archive import open_archive
from tasks.serving.boost_sweep import BoostSweep, SweepLine
from tasks.serving.word_boosting import WordBoost, read_phrases

if TYPE_CHECKING:
    from pathlib import Path


def sweep(*lines: tuple[float, int, int, int]) -> BoostSweep:
    """Lines of (score, missed, false, changed), of 20 rows."""
    made = [
        SweepLine(score, Proportion(missed, 20), Proportion(false, 20), 0.1, changed)
        for score, missed, false, changed in lines
    ]
    return BoostSweep(60, "held-out", 20, "decoder=nemo", tuple(made))


@pytest.mark.parametrize(
    ("lines", "best"),
    [
        (((0, 15, 0, 0), (0.5, 10, 0, 5), (1, 6, 0, 9), (2, 4, 3, 18)), 1),
        (((0, 15, 1, 0), (0.5, 15, 1, 1), (1, 14, 2, 9), (2, 14, 3, 18)), 0),
        (((0, 15, 2, 0), (0.5, 9, 1, 6), (1, 9, 2, 9), (2, 10, 2, 18)), 0.5),
    ],
)
def test_the_best_score_writes_no_more_false_keywords(
    lines: tuple[tuple[float, int, int, int], ...], best: float
) -> None:
    """And of equal ones it is the weakest; that these rows chose it is said."""
    found = sweep(*lines)
    assert found.best.score == best
    told = found.findings()[1]
    assert ("chose it" in told) == (best > 0)
    assert ("No score misses fewer" in told) == (best == 0)
    shares = found.as_dict()["scores"]
    assert [one["false_keyword_rows"] for one in shares] == [line[2] for line in lines]


def test_an_endpoint_that_changes_nothing_is_named() -> None:
    """Whatever the documentation says."""
    found = sweep((0, 15, 0, 0), (0.5, 15, 0, 0), (1, 15, 0, 0))
    assert "documented" in found.findings()[0]
    assert "No row changed at score 0.5, 1: this endpoint does not heed" in found.findings()[1]


def test_other_phrases_or_another_score_are_another_request() -> None:
    """So that answers of one are not taken for answers of another."""
    boost = WordBoost(("aspirin", "heparin"), 20)
    assert replace(boost, score=30).key != boost.key
    assert replace(boost, phrases=("aspirin",)).key != boost.key
    assert replace(boost).key == boost.key


def test_a_list_is_written_as_the_served_model_writes(tmp_path: Path) -> None:
    """What it cannot spell is told; of an unknown model the list stays as it is."""
    path = tmp_path / "formulary.txt"
    path.write_text("Aspirin\naspirin\nβ-blocker\n# end\n", encoding="utf-8")
    listed = read_phrases(path, open_archive(embedded_path()))
    assert listed.phrases == ("aspirin",)
    assert len(listed.notes()) == 4
    assert read_phrases(path, None).phrases == ("Aspirin", "aspirin", "β-blocker")
