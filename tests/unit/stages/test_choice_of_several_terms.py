"""A mixture is chosen by terms, where the rows that choose have several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.data.preflight import CheckedRow
from tasks.data.row_terms import RowTerm
from tasks.data.split_parts import Split
from tasks.data.training_set import TrainingSet
from tasks.decision.choice_rule import RULE
from tasks.decision.guardrail import GuardrailPolicy
from tasks.decision.mixture_choice import Candidate, choose
from tasks.stages.choosing_rows import ChoosingRows, gather_choosing_rows
from tests.support import factories


def checked(number: int, *terms: RowTerm) -> CheckedRow:
    """A row that passed the preflight."""
    row = factories.utterance(number, None, terms=terms)
    return CheckedRow(row, Path(row.audio_filepath), f"{number}", row.text, None)


def chosen(*rows: CheckedRow) -> ChoosingRows:
    """What of these rows chooses by drugs and lab values."""
    numbers = tuple(row.utterance.row for row in rows)
    data = TrainingSet(
        Path("train.jsonl"), Path("validation.jsonl"), Split((), (), (), numbers), (), ""
    )
    return gather_choosing_rows(rows, data, (), ("drug", "lab"), GuardrailPolicy(), ())


def test_a_row_chooses_for_each_priority_category_that_it_has() -> None:
    """A row without one chooses nothing; two drugs of a row are one row."""
    aspirin, warfarin = RowTerm("aspirin", "drug"), RowTerm("warfarin", "drug")
    inr, biopsy = RowTerm("inr", "lab"), RowTerm("biopsy", "procedure")
    found = chosen(
        checked(1, aspirin, warfarin), checked(2, aspirin, inr, biopsy), checked(3, biopsy)
    )
    assert [row.utterance.row for row in found.selection] == [1, 2]
    assert found.counts == {"drug": 2, "lab": 1}


def test_what_is_chosen_by_depends_on_the_terms() -> None:
    """Another term in the list is another choice, which is not found again."""
    aspirin, inr = RowTerm("aspirin", "drug"), RowTerm("inr", "lab")
    assert chosen(checked(1, aspirin)).content() != chosen(checked(1, aspirin, inr)).content()


def test_terms_of_one_row_are_one_block() -> None:
    """Two terms that are missed together tell no more than one: the larger error counts."""
    misses = (1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0)
    terms = ("a", "b", "a", "c", "b", "c", "d", "d")
    alone = Candidate(0.5, misses, terms)
    together = Candidate(0.5, misses, terms, rows=(0, 0, 1, 1, 2, 2, 3, 3))
    rows = Candidate(0.5, (1.0, 0.0, 1.0, 0.0), ("a", "b", "c", "d"))
    assert together.figure == alone.figure == 0.5
    assert together.standard_error == rows.standard_error > alone.standard_error
    (figures,) = written(together)
    assert (figures["rows"], figures["terms"]) == (4, 8)
    (figures,) = written(rows)
    assert figures["rows"] == 4
    assert "terms" not in figures


def written(candidate: Candidate) -> list[dict[str, Any]]:
    """The candidates of a choice, as decision.json holds them."""
    record: dict[str, Any] = choose([candidate], 0.01, RULE).as_dict()
    found: list[dict[str, Any]] = record["candidates"]
    return found
