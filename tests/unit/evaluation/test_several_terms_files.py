"""Rows of several terms in files: checked, told what to write, and read from JSON and tables."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.row_terms import RowTerm
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.hypotheses import hypothesis_for, write_hypotheses
from tasks.evaluation.incremental_scoring import score_file
from tasks.evaluation.result_reading import read_hypotheses, read_results
from tasks.evaluation.scoring import score
from tests.support import factories
from tests.support.several_terms_cases import TROPONIN, heard

if TYPE_CHECKING:
    from pathlib import Path


def test_results_are_checked_as_manifests_are(tmp_path: Path) -> None:
    """Every row, with its fix; case and plural of a category are read as the right word."""
    good = heard(0, [], "aspirin", "warfarin").as_dict()
    path = tmp_path / "rows.jsonl"
    plural = [{**item, "entity_category": "Drugs"} for item in good["terms"]]
    factories.write_rows(path, [{**good, "terms": plural}])
    (read,), notes = read_results(path)
    assert read.flagged == (RowTerm("aspirin", "drug"), RowTerm("warfarin", "drug"))
    assert "'Drugs' of 2 rows was read as 'drug'" in " ".join(notes.lines())
    bad = [
        {**good, "audio_filepath": "1.wav", "terms": [{"term": "heparin"}]},
        {**good, "audio_filepath": "2.wav", "terms": ["aspirin"]},
        {**good, "audio_filepath": "3.wav", "terms": None, "term": "aspirin; warfarin"},
        {**good, "audio_filepath": "4.wav", "terms": None, "term": ["aspirin", "warfarin"]},
    ]
    factories.write_rows(path, [good, *bad])
    with pytest.raises(InputError) as told:
        read_hypotheses(path)
    assert "4 errors" in str(told.value)
    assert "row 2: the term does not stand in ref" in str(told.value)
    assert str(told.value).count('write "terms": [{"term": "aspirin"') == 2


def test_two_rows_of_one_recording_become_one_of_two_terms(tmp_path: Path) -> None:
    """As an eval that knows one term a row writes them."""
    both = heard(0, [], "aspirin", "warfarin")
    single = [
        replace(both, terms=(), term=item.term, entity_category="drug") for item in both.terms
    ]
    path = tmp_path / "rows.jsonl"
    write_hypotheses(path, single)
    with pytest.raises(InputError, match="keep one of them alone") as told:
        read_hypotheses(path)
    assert json.dumps([item.as_dict() for item in both.terms]) in str(told.value)
    # The fix, followed: one row, two terms.
    write_hypotheses(path, [both])
    assert score(read_hypotheses(path)).keyword == Proportion(0, 2, 1)


def test_a_table_holds_the_list_as_text(tmp_path: Path) -> None:
    """As JSON in a cell, and its terms are found for the false keywords."""
    rows = [heard(0, ["warfarin"], "aspirin", "warfarin").as_dict()]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["audio_filepath", "ref", "hyp", "terms"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**one, "terms": json.dumps(one["terms"])} for one in rows)
    path = tmp_path / "rows.csv"
    path.write_text(text.getvalue())
    summary = score_file(path)
    assert summary.counts.keyword == Proportion(1, 2, 1)
    assert summary.beyond is not None
    assert set(summary.beyond.term_index.by_first_word) == {"aspirin", "warfarin"}


def test_an_evaluation_row_keeps_the_manifests_terms() -> None:
    """With their categories."""
    said = factories.utterance(
        1, None, text="aspirin and troponin", terms=(RowTerm("aspirin", "drug"), TROPONIN)
    )
    made = hypothesis_for(said, "aspirin")
    assert made.terms == said.terms
    assert made.categories == ("drug", "lab")
    assert made.as_dict()["terms"][1] == {"term": "troponin", "entity_category": "lab"}
