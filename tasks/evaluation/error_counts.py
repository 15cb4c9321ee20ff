"""The counts of a set of rows, which add up, and the rates that follow from them.

No rows is its own value, None, never 0. The mean of the rows' rates is one figure, the pooled rate
(total edits over total reference words) another, each under its own name.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.evaluation import statistics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.evaluation.statistics import Interval


@dataclass(frozen=True, slots=True)
class Proportion:
    """How many of ``n``: a binary rate that knows its counts.

    Attributes:
        hits: of them; rows that were decoded several times count with their share of misses.
        n: rows, or occurrences of terms.
        in_rows: the rows that hold the occurrences; None where each has one.
    """

    hits: float
    n: int
    in_rows: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.n:
            raise ValueError(f"{self.hits} of {self.n} is not a share")
        if not 0 <= self.rows <= self.n or (self.n and not self.rows):
            raise ValueError(f"{self.n} occurrences cannot stand in {counted(self.rows, 'row')}")
        if self.in_rows == self.n:
            object.__setattr__(self, "in_rows", None)

    @property
    def rows(self) -> int:
        """Rows."""
        return self.n if self.in_rows is None else self.in_rows

    @property
    def bracket(self) -> str:
        """The n as it stands in brackets: occurrences, and rows where these are fewer."""
        return (
            str(self.n) if self.in_rows is None else f"{self.n} in {counted(self.in_rows, 'row')}"
        )

    @property
    def unit(self) -> str:
        """The n in words: "8 rows", or "9 terms in 8 rows"."""
        rows = counted(self.rows, "row")
        return rows if self.in_rows is None else f"{self.n} terms in {rows}"

    @property
    def rate(self) -> float | None:
        """The share, or None where there are no rows."""
        return self.hits / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        """Wilson's 95 % interval, or None where there are no rows.

        Terms of one row are missed together, so that a row counts as one draw however many it has.
        """
        if self.in_rows is None:
            return statistics.wilson(self.hits, self.n)
        return statistics.wilson(self.hits * self.in_rows / self.n, self.in_rows)

    def __add__(self, other: Proportion) -> Proportion:
        return Proportion(self.hits + other.hits, self.n + other.n, self.rows + other.rows)


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """The counts of a set of rows: they add up, and the rates follow from them.

    Attributes:
        n: rows.
        wer_sum: sum of the rows' word error rates.
        cer_sum: sum of the rows' character error rates.
        word_edits: edits in words.
        ref_words: reference words.
        char_edits: edits in characters.
        ref_chars: reference characters.
        sentences_wrong: rows with any error.
        with_term: occurrences of terms.
        terms_missed: those that were missed.
        missed_by_spelling: of these, those that are there in another spelling.
        rows_with_term: rows that have a term; as many as occurrences where each has one.
    """

    n: int = 0
    wer_sum: float = 0.0
    cer_sum: float = 0.0
    word_edits: int = 0
    ref_words: int = 0
    char_edits: int = 0
    ref_chars: int = 0
    sentences_wrong: int = 0
    with_term: int = 0
    terms_missed: int = 0
    missed_by_spelling: int = 0
    rows_with_term: int = 0

    def __post_init__(self) -> None:
        if not (
            0 <= self.missed_by_spelling <= self.terms_missed <= self.with_term
            and self.rows_with_term <= min(self.with_term, self.n)
            and bool(self.rows_with_term) is bool(self.with_term)
            and self.sentences_wrong <= self.n
        ):
            raise ValueError(f"these counts contradict each other: {self}")

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(*(getattr(self, name) + getattr(other, name) for name in COUNTED))

    @property
    def wer(self) -> float | None:
        """Mean of the rows' word error rates."""
        return self.wer_sum / self.n if self.n else None

    @property
    def cer(self) -> float | None:
        """Mean of the rows' character error rates."""
        return self.cer_sum / self.n if self.n else None

    @property
    def keyword(self) -> Proportion:
        """Occurrences of terms that were missed, of all occurrences."""
        return Proportion(self.terms_missed, self.with_term, self.rows_with_term)

    @property
    def canonical_keyword(self) -> Proportion:
        """Occurrences that were missed in every spelling, of all occurrences."""
        missed = self.terms_missed - self.missed_by_spelling
        return Proportion(missed, self.with_term, self.rows_with_term)

    @property
    def sentence(self) -> Proportion:
        """Rows with any error."""
        return Proportion(self.sentences_wrong, self.n)

    @property
    def ker(self) -> float | None:
        """Keyword error rate; None where no row has a term."""
        return self.keyword.rate

    @property
    def ser(self) -> float | None:
        """Sentence error rate."""
        return self.sentence.rate

    @property
    def pooled_wer(self) -> float | None:
        """All word edits over all reference words."""
        return self.word_edits / max(self.ref_words, 1) if self.n else None


COUNTED = tuple(field.name for field in fields(ErrorCounts))
"""The names of the counts, in their order."""


def total(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """Add up counts."""
    columns = zip(
        *([getattr(row_counts, name) for name in COUNTED] for row_counts in counts), strict=True
    )
    return ErrorCounts(*map(sum, columns))
