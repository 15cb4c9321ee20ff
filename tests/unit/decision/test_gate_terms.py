"""The gate on rows of several terms: minimums are of rows, KER is of terms."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.data.row_terms import RowTerm
from tasks.decision.gate_policy import GatePolicy
from tasks.evaluation.hypotheses import hypothesis_for
from tasks.evaluation.scoring import Scores, score
from tests.support import factories
from tests.support.gate_cases import judge, rows_of

if TYPE_CHECKING:
    from tasks.data.manifest import Utterance
    from tasks.evaluation.scoring import Scores


def several(n: int, *, missed: int = 0) -> tuple[list[Utterance], Scores]:
    """Rows of a drug, another and a lab value, and their baseline."""
    terms = (RowTerm("aspirin", "drug"), RowTerm("warfarin", "drug"), RowTerm("inr", "lab"))
    rows = [
        factories.utterance(number, None, text=f"aspirin warfarin inr {number}", terms=terms)
        for number in range(1, n + 1)
    ]
    heard = [
        hypothesis_for(row, "nothing" if place < missed else row.text)
        for place, row in enumerate(rows)
    ]
    return rows, score(heard)


def test_the_minimums_count_rows_not_terms() -> None:
    """Fifty rows of three terms are fifty rows; both categories have them all."""
    rows, baseline = several(50, missed=40)
    result = judge(baseline, rows=rows, policy=GatePolicy(priority=("drug", "lab")))
    (reason,) = result.reasons
    assert "The manifest has 50 rows, fewer than 100" in reason.message
    assert result.figures["priority"] == {
        "drug": {"rows": 50, "n": 100, "rows_with_term": 50, "ker": 0.8},
        "lab": {"rows": 50, "n": 50, "ker": 0.8},
    }
    few, _ = several(4)
    result = judge(baseline, rows=[*few, *rows_of(0, 120)])
    assert "drug has 4 rows, fewer than 5" in result.reasons[0].message


def test_the_reason_says_terms_and_rows() -> None:
    """The n is that of the figure."""
    rows, baseline = several(120, missed=60)
    (reason,) = judge(baseline, rows=rows).reasons
    assert "drug KER is 0.500 (120 of 240 terms in 120 rows missed)" in reason.message


def test_a_baseline_that_knows_one_term_a_row_is_told() -> None:
    """Its other terms count for no KER, and the warning says how they would."""
    rows, baseline = several(120, missed=60)
    assert judge(baseline, rows=rows).warnings == ()
    older = score(
        replace(row.row, terms=(), term="aspirin", entity_category="drug") for row in baseline.rows
    )
    (warning,) = judge(older, rows=rows).warnings
    assert warning.startswith("120 rows of the manifest list several terms")
    assert "asr-flywheel transcribe" in warning
