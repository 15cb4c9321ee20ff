"""Splits and folds by whole terms, where rows of several terms tie categories together."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.row_groups import SplitRow
from tasks.data.split import fold_rows, split_rows
from tasks.data.split_parts import Disjointness
from tests.support.split_cases import count_categories

if TYPE_CHECKING:
    from tasks.data.split_parts import Split


def rows_of_pairs(rows: int, pairs: int, labs: int = 0) -> list[SplitRow]:
    """Rows of two drugs each, a pair of drugs in every few; the first ones of a pair hold a lab."""
    return [
        SplitRow(
            number,
            "lab" if number < labs * pairs else "drug",
            f"recording {number}",
            f"text {number}",
            (
                f"drug {2 * (number % pairs)}",
                f"drug {2 * (number % pairs) + 1}",
                *((f"lab {number % pairs}",) if number < labs * pairs else ()),
            ),
        )
        for number in range(rows)
    ]


def no_term_is_shared(rows: list[SplitRow], split: Split) -> bool:
    """Whether each term stands in one part."""
    terms = {row.row: row.terms for row in rows}
    parts = [
        {term for number in part for term in terms[number]}
        for part in (split.train, split.selection, split.validation)
    ]
    return not any(one & other for one, other in itertools.combinations(parts, 2))


def test_no_fold_judges_by_a_term_that_its_model_was_trained_on() -> None:
    """Folds hold out whole terms where the split does: the verdict of --folds rests on them."""
    rows = rows_of_pairs(120, 12)
    found = fold_rows(rows, 3, by_term=True, selection=0.2)
    assert sorted(n for split in found for n in split.validation) == [row.row for row in rows]
    assert [len(split.validation) for split in found] == [40, 40, 40]
    assert all(no_term_is_shared(rows, split) for split in found)
    assert all(split.selection for split in found)


def test_what_a_split_was_disjoint_by_is_what_it_says() -> None:
    """Leaderboard, report and console name terms where terms are held out, and only there."""
    rows = rows_of_pairs(120, 12)
    for by_term in (False, True):
        for split in (
            split_rows(rows, by_term=by_term),
            split_rows([*rows, replace(rows[0], row=121, category="lab")], by_term=by_term),
            *fold_rows(rows, 3, by_term=by_term),
        ):
            assert split.by_term is by_term
    row, voice = Disjointness.ROW, Disjointness.VOICE
    assert row.summary(by_term=False).endswith("a voice or a term may be")
    assert row.summary(by_term=True) == (
        "disjoint by row and term: no row's sound and no term is on two sides, but a voice may be"
    )
    assert voice.summary(by_term=False) == "disjoint by voice_id: no voice is on two sides"
    assert voice.summary(by_term=True) == (
        "disjoint by voice_id and term: no voice and no term is on two sides"
    )


def test_too_few_terms_for_the_folds_are_counted_with_fixes_that_work() -> None:
    """The number of folds that the error names is dealt; with one group none is named."""
    rows = rows_of_pairs(40, 2)
    with pytest.raises(InputError, match="2 terms, those that hang together") as refused:
        fold_rows(rows, 4, by_term=True)
    named = re.search(r"folds (\d+) at most", str(refused.value))
    assert named is not None
    assert len(fold_rows(rows, int(named[1]), by_term=True)) == 2
    assert "or leave hold_out_terms out" in str(refused.value)
    assert "disjoint row" not in str(refused.value)
    assert len(fold_rows(rows, 4)) == 4
    with pytest.raises(InputError, match="Fix: rows of more terms, or leave hold_out_terms out"):
        fold_rows(rows_of_pairs(40, 1), 2, by_term=True)


def test_a_category_that_hangs_together_with_another_gives_its_share() -> None:
    """Labs stand in rows with drugs only: a fifth of both judges, and no term is on two sides."""
    rows = rows_of_pairs(200, 20, labs=3)
    split = split_rows(rows, by_term=True, selection=0.1)
    assert no_term_is_shared(rows, split)
    judged = count_categories(rows, split.validation)
    assert (judged["drug"], judged["lab"]) == pytest.approx((28, 12), abs=3)
    assert split.selection
    assert not split.warnings


def test_a_category_that_hangs_together_in_one_group_is_named_by_its_terms() -> None:
    """Five rows are not called a single one; the warning names what ties them together."""
    rows = rows_of_pairs(120, 6)
    rows = [
        SplitRow(row.row, "lab", row.recording, row.text, (*row.terms, "sodium"))
        if row.row % 24 == 0
        else row
        for row in rows
    ]
    split = split_rows(rows, by_term=True)
    assert count_categories(rows, split.validation)["lab"] == 0
    assert split.warnings == (
        (
            "category lab: 0 rows held out instead of 1, since whole terms are; term 'drug 0' and "
            "2 more that hang together with it has 5 of its 5 rows"
        ),
    )


def test_terms_that_all_hang_together_are_refused_with_a_fix_that_works() -> None:
    """Without --hold-out-terms the same rows are split."""
    rows = [
        SplitRow(
            n, ("drug", "lab")[n % 2], f"recording {n}", "", (f"t {n % 7}", f"t {(n + 1) % 7}")
        )
        for n in range(60)
    ]
    with pytest.raises(InputError, match=r"nothing can be held out with whole terms: term 't 0'"):
        split_rows(rows, by_term=True)
    with pytest.raises(InputError, match="or leave hold_out_terms out") as refused:
        split_rows(rows, by_term=True)
    assert "disjoint row" not in str(refused.value)
    assert split_rows(rows).validation
