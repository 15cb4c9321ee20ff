"""Rows of several terms are compared: all of a row hang together, and all rows of a term."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.data.row_terms import RowTerm
from tasks.decision.decision_table import describe, movement
from tasks.decision.evidence import missed_or_wrong_value
from tasks.decision.significance import rows_needed
from tasks.evaluation import diff
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.false_keywords import FalseKeywordFinder, false_keyword_effect, index_terms
from tasks.evaluation.hypotheses import Hypothesis, Partition
from tasks.evaluation.scoring import score
from tasks.evaluation.statistics import mcnemar_mid_p
from tasks.evaluation.training_exposure import changes_by_exposure
from tests.support.several_terms_cases import DRUGS, heard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.evaluation.keyword_change import KeywordErrorChange


def compared(
    before: Sequence[Hypothesis], after: Sequence[Hypothesis], category: str = "drug"
) -> KeywordErrorChange:
    """The change of a category's KER."""
    return diff.pair(score(before), score(after)).by_category[category]


def test_terms_that_change_together_in_a_row_are_one_change() -> None:
    """Four rows of three terms show no more than four rows."""
    terms = [DRUGS[:3], DRUGS[3:], (DRUGS[0], DRUGS[2], DRUGS[4]), (DRUGS[1], DRUGS[3], DRUGS[5])]
    change = compared(
        [heard(n, of_row, *of_row) for n, of_row in enumerate(terms)],
        [heard(n, [], *of_row) for n, of_row in enumerate(terms)],
    )
    assert (change.n, change.rows, change.fixed) == (12, 4, 12)
    assert change.row_nets == (3, 3, 3, 3)
    assert change.p_rows == mcnemar_mid_p(4, 0) == 0.0625
    assert change.p == max(change.p_rows, change.p_terms or 0.0)
    # Twelve terms that change on their own would show it.
    assert mcnemar_mid_p(12, 0) < 0.001
    # The interval is that of four rows, too.
    four = compared(
        [heard(n, [DRUGS[n]], DRUGS[n]) for n in range(4)],
        [heard(n, [], DRUGS[n]) for n in range(4)],
    )
    assert change.interval == four.interval


def test_the_larger_p_counts_where_a_term_changes_as_a_whole() -> None:
    """Forty rows, but one term that is learnt and four others that change by one row each."""
    others = DRUGS[1:]
    before = [heard(n, ["aspirin"], "aspirin", others[n % 5]) for n in range(40)]
    after = [
        heard(n, ["aspirin", others[n]] if n < 4 else [], "aspirin", others[n % 5])
        for n in range(40)
    ]
    change = compared(before, after)
    assert len(change.nets) == 5
    assert change.p_terms is not None
    assert change.p_rows is not None
    assert change.p == change.p_terms > 0.2
    assert change.p_rows < 1e-6
    record = change.as_dict()
    assert (record["rows_with_term"], record["p_rows"]) == (40, change.p_rows)


def test_few_terms_cannot_hide_harm() -> None:
    """Under five changed terms say nothing about terms; the rows then count."""
    before = [heard(n, [], "aspirin", "warfarin") for n in range(30)]
    after = [heard(n, ["aspirin"] if n < 12 else [], "aspirin", "warfarin") for n in range(30)]
    change = compared(before, after)
    assert change.p == change.p_rows
    assert change.p is not None
    assert change.p < 0.001


def test_the_rows_that_are_asked_for_are_rows() -> None:
    """A change that needs so many single-term rows needs about as many of two that go together."""
    single = compared(
        [heard(n, [DRUGS[n % 6]] if n % 4 < 2 else [], DRUGS[n % 6]) for n in range(24)],
        [heard(n, [DRUGS[n % 6]] if n % 4 < 1 else [], DRUGS[n % 6]) for n in range(24)],
    )
    pairs = [(DRUGS[n % 6], DRUGS[(n + 1) % 6]) for n in range(24)]
    double = compared(
        [heard(n, pairs[n] if n % 4 < 2 else [], *pairs[n]) for n in range(24)],
        [heard(n, pairs[n] if n % 4 < 1 else [], *pairs[n]) for n in range(24)],
    )
    assert (single.n, double.n, double.rows) == (24, 48, 24)
    assert double.inflation == 2
    assert rows_needed(single, 1) == rows_needed(double, 1)


def test_two_evaluations_are_compared_on_the_terms_that_both_have() -> None:
    """An older result knows one term of the row; the order of a list does not matter."""
    older = Hypothesis("0.wav", "give aspirin and warfarin now", "give now", "warfarin", "drug")
    newer = heard(0, [], "aspirin", "warfarin")
    change = compared([older], [newer])
    assert (change.n, change.fixed) == (1, 1)
    turned = replace(newer, terms=newer.terms[::-1], hyp="give aspirin now")
    assert compared([turned], [newer]).fixed == 1


def test_a_wrong_dose_spoils_all_terms_of_its_row() -> None:
    """As a false keyword does; a false keyword is counted in rows."""
    said = "give aspirin and warfarin 5 mg"
    terms = (RowTerm("aspirin", "drug"), RowTerm("warfarin", "drug"))
    before = score([Hypothesis("0.wav", said, said, terms=terms)])
    wrong = score([Hypothesis("0.wav", said, f"{said}0 heparin", terms=terms)])
    other = heard(1, [], "heparin", "insulin")
    pairing = diff.pair(
        score([before.rows[0].row, other]),
        score([replace(wrong.rows[0].row, hyp=said + "0"), other]),
    )
    assert pairing.changes(missed_or_wrong_value)["drug"].after == Proportion(2, 4, 2)
    pairing = diff.pair(score([before.rows[0].row, other]), score([wrong.rows[0].row, other]))
    effect = false_keyword_effect(
        pairing, FalseKeywordFinder(index_terms(pairing.terms)), diff.term_missed
    )
    assert effect.rows["drug"].after == Proportion(1, 2)
    assert effect.with_false_keywords_as_misses["drug"].after == Proportion(2, 4, 2)


def test_the_table_says_terms_and_rows() -> None:
    """In a sentence of the decision."""
    change = compared(
        [heard(n, ["aspirin"], "aspirin", "warfarin") for n in range(20)],
        [heard(n, [], "aspirin", "warfarin") for n in range(20)],
    )
    told = describe(change, movement(change))
    assert "20 → 0 of 40 terms in 20 rows missed" in told


def test_terms_that_were_trained_on_are_told_apart_from_others_of_a_row() -> None:
    """One term of a held-out row was heard in training, the other never."""
    rows = [
        heard(0, [], "aspirin", part=Partition.TRAINED),
        heard(1, ["warfarin"], "aspirin", "warfarin", part=Partition.HELD_OUT),
    ]
    seen, unseen = changes_by_exposure(diff.pair(score(rows), score(rows)))
    assert (seen.category, seen.after) == ("seen term", Proportion(0, 1))
    assert (unseen.category, unseen.after) == ("unseen term", Proportion(1, 1))
