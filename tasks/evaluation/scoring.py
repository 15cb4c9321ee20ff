"""WER, CER, KER and SER (contracts, section Metrics).

Counts travel, rates are properties. A metric over rows is the MEAN of the per-row values; the
pooled, corpus-level WER (total edits over total reference words) is another figure under its own
name. No rows is its own value, None, never 0. KER, the keyword error rate, is the share of rows
whose flagged term was missed; rows without a term do not count for it. Canonical KER stands beside
it: there, a term in another spelling is not missed (tasks/data/canonical_terms.py).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from tasks.data.canonical import canonical
from tasks.data.canonical_terms import SpokenText, canonical_term
from tasks.data.text_normalizer import contains_words, normalise, normalise_term, to_the_letter
from tasks.evaluation import statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.evaluation.statistics import Interval

DIMENSIONS = (
    "entity_category",
    "ipa_source",
    "noise_level",
    "context_type",
    "voice_id",
    "term",
)
"""The fields by which a score is broken down; the leaderboard shows four of them."""


Measured = tuple[int, int, int, int, bool | None, bool]
"""The counts of one row, in the order of the fields of ``RowScore``."""


def measure(ref: str, hyp: str, term: str | None) -> Measured:
    """Count every metric's errors of one row; the only place that makes these counts.

    Args:
        ref: what was said, normalised.
        hyp: what was recognised, normalised.
        term: the flagged term, normalised; None or "" where there is none.

    Returns:
        word_edits, ref_words, char_edits, ref_chars, term_missed, sentence_wrong.
    """
    term_missed = not contains_words(hyp, term) if term else None
    if ref == hyp:
        return 0, ref.count(" ") + 1 if ref else 0, 0, len(ref), term_missed, False
    words = ref.split()
    return (
        Levenshtein.distance(words, hyp.split()),
        len(words),
        Levenshtein.distance(ref, hyp),
        len(ref),
        term_missed,
        True,
    )


def spelled_otherwise(hyp: str, plain: str, term: str) -> bool:
    """Return whether a hypothesis that lacks a term to the letter holds it in another spelling.

    Args:
        hyp: what was recognised, as written.
        plain: the same, normalised.
        term: the flagged term, as written.
    """
    return SpokenText(hyp, plain).holds(canonical_term(term))


def changed_by_hyphens(row: Hypothesis) -> bool:
    """Return whether a row has other figures than to the letter: by the correction of hyphens."""
    term = row.term or ""
    if row.ref.isascii() and row.hyp.isascii() and term.isascii():
        return False
    corrected = measure(normalise(row.ref), normalise(row.hyp), normalise(term))
    return corrected != measure(*map(to_the_letter, (row.ref, row.hyp, term)))


@dataclass(frozen=True, slots=True)
class UtteranceScore:
    """The counts of one row after normalisation.

    Attributes:
        row: the hypothesis that was scored.
        word_edits: Levenshtein distance in words.
        ref_words: words in the reference.
        char_edits: Levenshtein distance in characters.
        ref_chars: characters in the reference, spaces included.
        term_missed: whether the flagged term is absent from the hypothesis; None without a term.
        sentence_wrong: whether the normalised strings differ.
        spelling_only: whether the missed term is there in another spelling.
    """

    row: Hypothesis
    word_edits: int
    ref_words: int
    char_edits: int
    ref_chars: int
    term_missed: bool | None
    sentence_wrong: bool
    spelling_only: bool = False

    def __post_init__(self) -> None:
        if min(self.word_edits, self.ref_words, self.char_edits, self.ref_chars) < 0:
            raise ValueError("counts cannot be negative")
        if not self.sentence_wrong and (self.word_edits or self.char_edits):
            raise ValueError("a sentence without an error cannot have edits")
        if self.spelling_only and not self.term_missed:
            raise ValueError("only a missed term can be missed by spelling alone")

    @property
    def missed_in_any_spelling(self) -> bool | None:
        """Whether the flagged term is absent in every spelling; None without a term."""
        return None if self.term_missed is None else self.term_missed and not self.spelling_only

    @property
    def wer(self) -> float:
        """Word error rate of the row."""
        return self.word_edits / max(self.ref_words, 1)

    @property
    def cer(self) -> float:
        """Character error rate of the row."""
        return self.char_edits / max(self.ref_chars, 1)

    @property
    def counts(self) -> ErrorCounts:
        """The row as a set of one."""
        term_missed = self.term_missed
        return ErrorCounts(
            n=1,
            wer_sum=self.wer,
            cer_sum=self.cer,
            word_edits=self.word_edits,
            ref_words=self.ref_words,
            char_edits=self.char_edits,
            ref_chars=self.ref_chars,
            sentences_wrong=int(self.sentence_wrong),
            with_term=int(term_missed is not None),
            terms_missed=int(bool(term_missed)),
            missed_by_spelling=int(self.spelling_only),
        )


@dataclass(frozen=True, slots=True)
class Proportion:
    """How many of ``n`` rows: a binary rate that knows its counts."""

    hits: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.n:
            raise ValueError(f"{self.hits} of {self.n} is not a share")

    @property
    def rate(self) -> float | None:
        """The share, or None where there are no rows."""
        return self.hits / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        """Wilson's 95 % interval, or None where there are no rows."""
        return statistics.wilson(self.hits, self.n)

    def __add__(self, other: Proportion) -> Proportion:
        return Proportion(self.hits + other.hits, self.n + other.n)


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
        with_term: rows that have a term.
        terms_missed: rows whose term was missed.
        missed_by_spelling: of these, rows that hold the term in another spelling.
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

    def __post_init__(self) -> None:
        if not (
            0 <= self.missed_by_spelling <= self.terms_missed <= self.with_term <= self.n
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
        """Rows whose term was missed, of the rows that have a term."""
        return Proportion(self.terms_missed, self.with_term)

    @property
    def canonical_keyword(self) -> Proportion:
        """Rows whose term was missed in every spelling, of the rows that have a term."""
        return Proportion(self.terms_missed - self.missed_by_spelling, self.with_term)

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


@dataclass(frozen=True)
class Scores:
    """The four metrics over a set of rows, and the pooled WER beside them."""

    rows: tuple[UtteranceScore, ...]

    @property
    def n(self) -> int:
        """Rows scored."""
        return len(self.rows)

    @cached_property
    def counts(self) -> ErrorCounts:
        """The rows' counts, added up."""
        return total(row.counts for row in self.rows)

    @property
    def wer(self) -> float | None:
        """Mean of the rows' word error rates."""
        return self.counts.wer

    @property
    def cer(self) -> float | None:
        """Mean of the rows' character error rates."""
        return self.counts.cer

    @property
    def keyword(self) -> Proportion:
        """Rows whose term was missed, of the rows that have a term."""
        return self.counts.keyword

    @property
    def sentence(self) -> Proportion:
        """Rows with any error."""
        return self.counts.sentence

    @cached_property
    def changed_by_hyphens(self) -> int:
        """Rows that have other figures than to the letter, by the correction of hyphens."""
        return sum(changed_by_hyphens(row.row) for row in self.rows)

    @property
    def ker(self) -> float | None:
        """Keyword error rate; None where no row has a term."""
        return self.counts.ker

    @property
    def ser(self) -> float | None:
        """Sentence error rate."""
        return self.counts.ser

    @property
    def pooled_wer(self) -> float | None:
        """All word edits over all reference words."""
        return self.counts.pooled_wer

    @cached_property
    def blocks(self) -> tuple[ErrorCounts, ...]:
        """The counts of each term's rows together, and of each row without a term alone.

        Rows of one term are not independent; the bootstrap draws them as one.
        """
        by_block: dict[object, list[ErrorCounts]] = {}
        for place, row in enumerate(self.rows):
            by_block.setdefault(block_of(row.row.term, place), []).append(row.counts)
        return tuple(total(counts) for counts in by_block.values())

    def where(self, keep: Callable[[UtteranceScore], bool]) -> Scores:
        """Return the scores over the rows that ``keep`` accepts."""
        return Scores(tuple(row for row in self.rows if keep(row)))

    def by(self, dimension: str) -> dict[str | None, Scores]:
        """Return the scores for each value of a field; None stands for rows that lack it."""
        groups: dict[str | None, list[UtteranceScore]] = {}
        for row in self.rows:
            groups.setdefault(getattr(row.row, dimension), []).append(row)
        return {value: Scores(tuple(rows)) for value, rows in groups.items()}


def block_of(term: str | None, place: int) -> str | int:
    """Return a row's block for resampling: its term, or the row itself where it has none."""
    return (normalise_term(term) if term else "") or place


def total(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """Add up counts."""
    columns = zip(
        *([getattr(row_counts, name) for name in COUNTED] for row_counts in counts), strict=True
    )
    return ErrorCounts(*map(sum, columns))


def canonical_errors(row: UtteranceScore) -> tuple[int, int]:
    """Return a row's word edits and reference words in the canonical view."""
    ref = canonical(row.row.ref).split()
    if row.row.ref == row.row.hyp:
        return 0, len(ref)
    return Levenshtein.distance(ref, canonical(row.row.hyp).split()), len(ref)


def score_row(row: Hypothesis) -> UtteranceScore:
    """Score one row by the contract's definitions, and its term in the canonical view."""
    term = normalise_term(row.term) if row.term else None
    hyp = normalise(row.hyp)
    counted = measure(normalise(row.ref), hyp, term)
    missed = bool(counted[4])
    spelling_only = missed and row.term is not None and spelled_otherwise(row.hyp, hyp, row.term)
    return UtteranceScore(row, *counted, spelling_only)


def score(rows: Iterable[Hypothesis]) -> Scores:
    """Score rows; the order is kept."""
    return Scores(tuple(score_row(row) for row in rows))
