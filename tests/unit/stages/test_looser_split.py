"""A split without a row to decide on names the looser split that has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.common.parameter_names import spelled_as
from tasks.data.cycle_folder import open_cycle
from tasks.data.split_parts import Disjointness, Split
from tasks.data.training_set import split_checked
from tasks.decision.guardrail import GuardrailPolicy
from tasks.stages import boosting_inputs, prepare
from tasks.training.recipes import recipe
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.preflight import PreflightResult

ROW, VOICE = Disjointness.ROW, Disjointness.VOICE


def checked(cycle: Path, model: Path, **changed: Any) -> PreflightResult:
    """The cycle's rows, with the drugs' rows changed; each other row has a voice of its own."""
    rows = [
        {**row, **changed}
        if row["entity_category"] == "drug"
        else {**row, "voice_id": row["audio_filepath"]}
        for row in factories.cycle_rows()
    ]
    for row in rows:
        row["text"] = f"the doctor wrote {row['term']} into the chart"
    factories.write_rows(cycle / "manifest.jsonl", rows)
    return prepare.check(open_cycle(cycle), model, recipe("verified"))


def require(cycle: Path, rows: PreflightResult, *, by_term: bool, disjoint: Disjointness) -> None:
    """What a run asks before it trains."""

    def split_again(by_term: bool, disjoint: Disjointness) -> Split:  # noqa: FBT001 - a callback
        return split_checked(rows.rows, fraction=0.2, seed=42, by_term=by_term, disjoint=disjoint)

    data = prepare.split(open_cycle(cycle), rows, 0.2, 42, by_term=by_term, disjoint=disjoint)
    prepare.require_decidable(rows, data, ["drug"], None, split_again=split_again)


def test_leaving_whole_terms_out_is_advised_where_it_helps(cycle: Path, lower_nemo: Path) -> None:
    """All drug rows have one term, which must not be on two sides; without the option it goes."""
    rows = checked(cycle, lower_nemo, term="aspirin")
    with (
        spelled_as({"hold_out_terms": "--hold-out-terms"}),
        pytest.raises(
            InputError,
            match=r"no held-out row of category 'drug'.* Fix: .*"
            r"Or leave --hold-out-terms out: then there are such rows\.$",
        ),
    ):
        require(cycle, rows, by_term=True, disjoint=ROW)
    require(cycle, rows, by_term=False, disjoint=ROW)


def test_whole_voices_are_named_where_they_are_the_cause(cycle: Path, lower_nemo: Path) -> None:
    """All drug rows are of one voice: leaving whole terms out would not help, rows would."""
    rows = checked(cycle, lower_nemo, voice_id="bert")
    with pytest.raises(InputError, match=r"Or take disjoint row: then there are such rows\.$"):
        require(cycle, rows, by_term=False, disjoint=VOICE)
    require(cycle, rows, by_term=False, disjoint=ROW)


def test_nothing_is_advised_that_would_not_help(cycle: Path, lower_nemo: Path) -> None:
    """There is no drug at all."""
    rows = checked(cycle, lower_nemo, term="dialysis", entity_category="procedure")
    with pytest.raises(InputError, match=r"or grow the manifest\.$"):
        require(cycle, rows, by_term=True, disjoint=ROW)


def test_boosting_advises_the_same(cycle: Path, lower_nemo: Path) -> None:
    """`boost` divides the rows before anything is decoded."""
    rows = checked(cycle, lower_nemo, term="aspirin").rows

    def split(by_term: bool, disjoint: Disjointness) -> Split:  # noqa: FBT001 - a callback
        return split_checked(rows, fraction=0.2, seed=42, by_term=by_term, disjoint=disjoint)

    def divide(parts: Split) -> None:
        boosting_inputs.divide_rows(
            rows, parts, None, ("drug",), GuardrailPolicy(), (cycle,), split_again=split
        )

    with pytest.raises(InputError, match=r"Or leave hold_out_terms out: then"):
        divide(split(True, ROW))
    divide(split(False, ROW))
