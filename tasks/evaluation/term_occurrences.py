"""A term in a row, and whether it was missed: the unit that KER counts.

Canonical KER stands beside KER: there, a term in another spelling is not missed
(tasks/data/canonical_terms.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.data.canonical_terms import SpokenText, canonical_term
from tasks.data.text_normalizer import contains_words, normalise_term

if TYPE_CHECKING:
    from tasks.evaluation.hypotheses import Hypothesis


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One term in one row, and whether it was missed: the unit that KER counts.

    Attributes:
        term: as the row gives it.
        category: its entity_category.
        missed: whether its words are absent from the hypothesis.
        spelling_only: whether it is missed and there in another spelling.
    """

    term: str
    category: str | None
    missed: bool
    spelling_only: bool = False

    def __post_init__(self) -> None:
        if self.spelling_only and not self.missed:
            raise ValueError("only a missed term can be missed by spelling alone")

    @property
    def missed_in_any_spelling(self) -> bool:
        """Whether it is absent in every spelling."""
        return self.missed and not self.spelling_only


def find_occurrences(row: Hypothesis, hyp: str) -> tuple[Occurrence, ...]:
    """Return a row's terms and whether each was missed; the only place that makes these records.

    A term of which nothing is left once it is normalised does not count.

    Args:
        row: the hypothesis, as written.
        hyp: what was recognised, normalised.
    """
    occurrences = []
    for item in row.flagged:
        if words := normalise_term(item.term):
            missed = not contains_words(hyp, words)
            spelled = missed and spelled_otherwise(row.hyp, hyp, item.term)
            occurrences.append(Occurrence(item.term, item.entity_category, missed, spelled))
    return tuple(occurrences)


def spelled_otherwise(hyp: str, plain: str, term: str) -> bool:
    """Return whether a hypothesis that lacks a term to the letter holds it in another spelling.

    Args:
        hyp: what was recognised, as written.
        plain: the same, normalised.
        term: the flagged term, as written.
    """
    return SpokenText(hyp, plain).holds(canonical_term(term))
