"""The terms of an evaluation, by category: which were missed, and in which conditions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tasks.data.text_normalizer import normalise_term
from tasks.decision.condition_grid import USUAL_ROWS_PER_TERM, expected, shares_by
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.hypotheses import Partition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.evaluation.scoring import Scores, UtteranceScore


@dataclass(frozen=True, slots=True)
class TermRows:
    """The rows of one term in one category."""

    rows: tuple[UtteranceScore, ...]

    def missed(self, *parts: Partition | None) -> Proportion:
        """Count the rows of these parts that were missed."""
        chosen = [bool(row.term_missed) for row in self.rows if row.row.part in parts]
        return Proportion(sum(chosen), len(chosen))

    @property
    def held_out(self) -> Proportion:
        """Rows that may judge the model: held out, or not marked."""
        return self.missed(Partition.HELD_OUT, None)

    @property
    def trained(self) -> Proportion:
        """Rows that cannot judge the model, most of them trained on."""
        return self.missed(Partition.TRAINED, Partition.CHOSE, Partition.CHOSE_NOTHING)

    @property
    def weakness(self) -> tuple[float, float, str]:
        """A sort key: the worst first."""
        return (-expected(self.held_out), -expected(self.trained), self.name)

    @property
    def name(self) -> str:
        """The term as its first row spells it."""
        return self.rows[0].row.term or ""


@dataclass(frozen=True, slots=True)
class EvaluatedTerms:
    """An evaluation's rows that have a term and a category.

    Attributes:
        by_category: the rows of each term, by category and normalised term.
        rows_of: by category, the rows that have a term of it.
        priority: the categories that decide.
        manifest_rows: all rows of the evaluation.
        unplaced: of them, those without a term and a category.
        is_divided: whether the model was trained on some of the rows.
        held_out_share: of all rows, those that were held out; 1 where none is marked so.
    """

    by_category: Mapping[str, Mapping[str, TermRows]]
    rows_of: Mapping[str, int]
    priority: Sequence[str]
    manifest_rows: int
    unplaced: int
    is_divided: bool
    held_out_share: float

    @classmethod
    def from_scores(
        cls, scores: Scores, priority: Sequence[str], *, trained: bool
    ) -> EvaluatedTerms:
        """Sort an evaluation's rows by category and term.

        Args:
            scores: of the model.
            priority: the categories that decide.
            trained: whether the model was trained on the rows that are marked so.
        """
        rows_by_category: dict[str, dict[str, list[UtteranceScore]]] = {}
        rows_of: Counter[str] = Counter()
        placed_rows = 0
        for several in scores.rows:
            categories = set()
            for row in several.by_occurrence():
                term, category = row.row.term, row.row.entity_category
                if row.term_missed is None or term is None or category is None:
                    continue
                categories.add(category)
                terms = rows_by_category.setdefault(category, {})
                # To a model that was trained on none of the rows, all of them are held out.
                judged_row = row if trained else replace(row, row=replace(row.row, part=None))
                terms.setdefault(normalise_term(term), []).append(judged_row)
            rows_of.update(categories)
            placed_rows += bool(categories)
        held_out = sum(row.row.part is Partition.HELD_OUT for row in scores.rows)
        is_divided = any(row.row.part is not None for row in scores.rows)
        return cls(
            {
                category: {name: TermRows(tuple(rows)) for name, rows in terms.items()}
                for category, terms in rows_by_category.items()
            },
            rows_of,
            priority,
            scores.n,
            scores.n - placed_rows,
            is_divided and trained,
            held_out / scores.n if is_divided and held_out else 1.0,
        )

    def rank(self, category: str) -> tuple[int, float, str]:
        """Return a sort key: priority categories first, then the worst."""
        first = 0 if category in self.priority else 1
        terms = self.by_category[category].values()
        return (
            first,
            -expected(sum((term.held_out for term in terms), Proportion(0, 0))),
            category,
        )

    @property
    def least_rows(self) -> int:
        """The fewest rows of a term that let one of them be held out."""
        return min(USUAL_ROWS_PER_TERM, math.ceil(1 / self.held_out_share))

    def missed_terms(self, category: str) -> list[TermRows]:
        """Return the missed terms, worst first; outside of priority only those of held-out rows."""
        terms = [
            term
            for term in self.by_category[category].values()
            if term.held_out.hits or (category in self.priority and term.trained.hits)
        ]
        return sorted(terms, key=lambda term: term.weakness)

    def worst_first(self, category: str, dimension: str, term: TermRows) -> list[str]:
        """Return a dimension's values: first those without a row of the term, then the worst."""
        shares = shares_by(self.rows(category), dimension)
        used = Counter(getattr(row.row, dimension) for row in term.rows)
        return sorted(shares, key=lambda value: (used[value], -expected(shares[value]), value))

    def rows(self, *categories: str) -> list[UtteranceScore]:
        """Return the rows of these categories; of all, where none is named."""
        return [
            row
            for category in categories or tuple(self.by_category)
            for term in self.by_category[category].values()
            for row in term.rows
        ]

    def values(self, dimension: str) -> set[str]:
        """Return the values that the rows have."""
        return {value for row in self.rows() if (value := getattr(row.row, dimension)) is not None}
