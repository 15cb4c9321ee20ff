"""Rows of several terms, with some of them missed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tasks.data.row_terms import RowTerm
from tasks.evaluation.hypotheses import Hypothesis

if TYPE_CHECKING:
    from collections.abc import Sequence


DRUGS = ("aspirin", "warfarin", "heparin", "insulin", "digoxin", "morphine")
TROPONIN = RowTerm("troponin", "lab")


def row(number: int, hyp: str, *terms: str | RowTerm, **fields: Any) -> Hypothesis:
    """A row that gives its terms in its reference; a text is a drug."""
    flagged = tuple(item if isinstance(item, RowTerm) else RowTerm(item, "drug") for item in terms)
    ref = f"give {' and '.join(item.term for item in flagged)} now"
    return Hypothesis(f"{number}.wav", ref, hyp, terms=flagged, **fields)


def heard(number: int, missed: Sequence[str], *terms: str | RowTerm, **fields: Any) -> Hypothesis:
    """A row in which these terms are missed and all else is right."""
    right = row(number, "", *terms, **fields)
    hyp = right.ref
    for term in missed:
        hyp = hyp.replace(term, "something")
    return replace(right, hyp=hyp)
