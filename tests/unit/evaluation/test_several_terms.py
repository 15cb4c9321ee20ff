"""Rows of several terms in scores, leaderboard and grow plan: a term counts, a row is one draw."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.data.row_terms import RowTerm
from tasks.decision.grow_plan import make_plan
from tasks.evaluation import leaderboard
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.false_keywords import index_terms
from tasks.evaluation.hypotheses import Hypothesis, Partition, write_hypotheses
from tasks.evaluation.incremental_scoring import ScoreAccumulator, score_file, summarise
from tasks.evaluation.leaderboard_markdown import leaderboard_as_markdown
from tasks.evaluation.result_reading import read_hypotheses
from tasks.evaluation.score_summary import summary_as_dict
from tasks.evaluation.scoring import score
from tasks.evaluation.secondary_metrics import compute_secondary_metrics
from tasks.evaluation.statistics import wilson
from tests.support.several_terms_cases import DRUGS, TROPONIN, heard, row

if TYPE_CHECKING:
    from pathlib import Path


def test_each_term_counts_for_its_category() -> None:
    """KER is over terms, with its rows beside; WER and SER stay over rows."""
    scores = score(
        [
            heard(0, ["warfarin"], "aspirin", "warfarin", TROPONIN),
            heard(1, ["troponin"], "aspirin", TROPONIN),
            heard(2, [], "heparin"),
            Hypothesis("3.wav", "no term here", "no term here"),
        ]
    )
    assert scores.keyword == Proportion(2, 6, 3)
    assert scores.sentence == Proportion(2, 4)
    groups = scores.by("entity_category")
    assert groups["drug"].keyword == Proportion(1, 4, 3)
    assert groups["lab"].keyword == Proportion(1, 2)
    assert groups[None].n == 1
    assert {name: group.keyword.hits for name, group in scores.by("term").items() if name} == {
        "aspirin": 0,
        "warfarin": 1,
        "troponin": 1,
        "heparin": 0,
    }
    assert scores.by("noise_level")[None].keyword == Proportion(2, 6, 3)
    assert (scores.rows[0].term_missed, scores.rows[2].term_missed) == (True, False)


def test_an_interval_takes_a_row_for_one_draw() -> None:
    """Two terms of one row are missed together: they are no two rows."""
    share = Proportion(10, 40, 20)
    assert share.interval == wilson(5, 20)
    assert Proportion(10, 40, 40) == Proportion(10, 40)
    assert (share.bracket, share.unit) == ("40 in 20 rows", "40 terms in 20 rows")
    assert share + Proportion(1, 2) == Proportion(11, 42, 22)
    with pytest.raises(ValueError, match="cannot stand in"):
        Proportion(1, 2, 3)


def test_spellings_are_told_term_by_term() -> None:
    """One is missed by spelling only, the other is not there at all."""
    terms = (RowTerm("x ray", "procedure"), RowTerm("aspirin", "drug"))
    said = "an x ray and aspirin"
    counts = score([Hypothesis("0.wav", said, "an x-ray and a prin", terms=terms)]).counts
    assert (counts.terms_missed, counts.missed_by_spelling) == (2, 1)
    assert counts.canonical_keyword == Proportion(1, 2, 1)


def test_a_false_keyword_counts_once_a_row_and_once_in_each_category() -> None:
    """The rate of all rows is no sum of the categories'."""
    scores = score(
        [
            row(0, "give heparin now", "aspirin", TROPONIN),
            heard(1, [], "aspirin", "heparin"),
        ]
    )
    found = compute_secondary_metrics(scores)
    assert found.false_keywords == Proportion(1, 2)
    assert found.false_keywords_of("drug") == Proportion(1, 2)
    assert found.false_keywords_of("lab") == Proportion(1, 1)
    assert found.near_misses() == {"aspirin": {"heparin": 1}, "troponin": {"(nothing)": 1}}


def many(seed: int, n: int = 60, part: Partition | None = None) -> list[Hypothesis]:
    """Rows of one to four terms, some missed, some without a term, some of a single one."""
    draw = random.Random(seed)  # noqa: S311 - repeatable, not secret
    rows = []
    for number in range(n):
        terms: list[str | RowTerm] = [*draw.sample(DRUGS, draw.randint(0, 3))]
        if draw.random() < 0.4:
            terms.append(TROPONIN)
        names = [item if isinstance(item, str) else item.term for item in terms]
        missed = [name for name in names if draw.random() < 0.4]
        fields: dict[str, Any] = {"noise_level": draw.choice(("clean", None)), "part": part}
        one = heard(number, missed, *terms, **fields)
        if len(terms) == 1 and number % 2:
            (only,) = one.terms
            one = replace(one, term=only.term, entity_category=only.entity_category, terms=())
        rows.append(one)
    return rows


def test_a_file_of_any_length_gives_the_same_counts(tmp_path: Path) -> None:
    """In one go, row by row, and in parts that are merged."""
    nothing_left = Hypothesis("x.wav", "give ?! now", "give now", terms=(RowTerm("?!", "drug"),))
    rows = [*many(1), nothing_left]
    path = tmp_path / "rows.jsonl"
    write_hypotheses(path, rows)
    assert read_hypotheses(path) == tuple(rows)
    scores, summary = score(rows), score_file(path)
    first, second = (
        ScoreAccumulator(index_terms(scores.terms)),
        ScoreAccumulator(index_terms(scores.terms)),
    )
    for number, one in enumerate(rows):
        (first if number < 25 else second).add(one)
    first.merge(second)
    for found in (summary, first.summary(), summarise(rows, index_terms(scores.terms))):
        assert found.counts.keyword == scores.keyword
        assert found.counts.ser == scores.ser
        for dimension in ("entity_category", "term", "noise_level"):
            groups = scores.by(dimension)
            assert {name: counts.keyword for name, counts in found.by[dimension].items()} == {
                name: group.keyword for name, group in groups.items()
            }
    printed = summary_as_dict(summary)
    assert printed["n_with_term"] > printed["rows_with_term"] == scores.keyword.rows
    drugs = printed["by"]["entity_category"]["drug"]
    assert drugs["rows_with_term"] < drugs["n"]
    assert summary.beyond is not None
    assert summary.beyond.as_dict() == compute_secondary_metrics(scores).as_dict()


def test_the_leaderboard_shows_rows_where_they_differ() -> None:
    """In every section that has a KER, and in its JSON."""
    scores = score(many(2, part=Partition.HELD_OUT))
    board = leaderboard.Leaderboard(1, leaderboard.baseline_entries("base", scores))
    text, record = leaderboard_as_markdown(board), json.loads(json.dumps(board.as_dict()))
    keyword, drug = scores.keyword, scores.by("entity_category")["drug"].keyword
    assert f"| {keyword.n} ({keyword.rows} rows) |" in text
    assert f"({drug.n} in {drug.rows} rows)" in text
    (headline,) = record["sections"]["headline"]
    assert (headline["n with term"], headline["in rows"]) == (keyword.n, keyword.rows)
    lines = {line["entity_category"]: line for line in record["sections"]["entity_category"]}
    assert (lines["drug"]["n"], lines["drug"]["in rows"]) == (drug.n, drug.rows)
    assert record["beyond"][0]["spelling"]["rows_with_term"] == keyword.rows
    # A term stands once in a row, so that its n is that of its rows.
    assert not any("in rows" in line for line in record["sections"]["term"])


def test_the_grow_plan_names_each_missed_term_and_counts_rows_once() -> None:
    """Sixty rows of two missed terms are sixty rows of the category, to be doubled."""
    scores = score([heard(n, ["aspirin", "warfarin"], "aspirin", "warfarin") for n in range(60)])
    plan = make_plan(scores, ["drug"], model="base", trained=False)
    assert {line.term for line in plan.lines} == {"aspirin", "warfarin"}
    # Two rows by its lines, since no condition is named; the other 58 are for new terms.
    assert plan.new_terms == {"drug": 5}
    assert not any("have no term" in line for line in plan.advice)
