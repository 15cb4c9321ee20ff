"""WER, CER, KER and SER (contracts, section Metrics).

Counts travel, rates are properties. A metric over rows is the MEAN of the per-row values; the
pooled, corpus-level WER (total edits over total reference words) is another figure under its own
name. No rows is its own value, None, never 0. KER, the keyword error rate, is the share of term
occurrences that were missed; where each row has one term, as in the contract, that is the share of
rows. Rows without a term do not count for it. Canonical KER stands beside it: there, a term in
another spelling is not missed (tasks/data/canonical_terms.py).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from tasks.data.canonical import canonical
from tasks.data.canonical_terms import SpokenText, canonical_term
from tasks.data.text_normalizer import contains_words, normalise, normalise_term, to_the_letter
from tasks.evaluation import statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
OF_OCCURRENCES = {"entity_category": "category", "term": "term"}
"""Those by which a row's terms are divided, with their names in ``Occurrence``."""


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
    terms = [item.term for item in row.flagged]
    if row.ref.isascii() and row.hyp.isascii() and all(map(str.isascii, terms)):
        return False
    ref, hyp = normalise(row.ref), normalise(row.hyp)
    ref_to_the_letter, hyp_to_the_letter = to_the_letter(row.ref), to_the_letter(row.hyp)
    return any(
        measure(ref, hyp, normalise(term))
        != measure(ref_to_the_letter, hyp_to_the_letter, to_the_letter(term))
        for term in terms or [""]
    )


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


@dataclass(frozen=True, slots=True)
class UtteranceScore:
    """The counts of one row after normalisation.

    Attributes:
        row: the hypothesis that was scored.
        word_edits: Levenshtein distance in words.
        ref_words: words in the reference.
        char_edits: Levenshtein distance in characters.
        ref_chars: characters in the reference, spaces included.
        sentence_wrong: whether the normalised strings differ.
        occurrences: its terms, and whether each was missed.
    """

    row: Hypothesis
    word_edits: int
    ref_words: int
    char_edits: int
    ref_chars: int
    sentence_wrong: bool
    occurrences: tuple[Occurrence, ...] = ()

    def __post_init__(self) -> None:
        if min(self.word_edits, self.ref_words, self.char_edits, self.ref_chars) < 0:
            raise ValueError("counts cannot be negative")
        if not self.sentence_wrong and (self.word_edits or self.char_edits):
            raise ValueError("a sentence without an error cannot have edits")

    @property
    def term_missed(self) -> bool | None:
        """Whether any of its terms was missed; None without a term."""
        if not self.occurrences:
            return None
        return any(occurrence.missed for occurrence in self.occurrences)

    def divided(self, dimension: str) -> Iterator[tuple[str | None, UtteranceScore]]:
        """Yield each of the row's values of a field, with the occurrences that have it."""
        name = OF_OCCURRENCES.get(dimension)
        if name is None or not self.row.terms:
            yield getattr(self.row, dimension), self
            return
        values = dict.fromkeys(getattr(one, name) for one in self.occurrences)
        for value in values or (None,):
            yield value, self.only(lambda one, value=value: getattr(one, name) == value)  # type: ignore[misc]

    def only(self, keep: Callable[[Occurrence], bool]) -> UtteranceScore:
        """Return the row with those of its terms that ``keep`` accepts."""
        return replace(self, occurrences=tuple(one for one in self.occurrences if keep(one)))

    def by_occurrence(self) -> Iterator[UtteranceScore]:
        """Yield the row once for each of its terms, as a row of that single term."""
        if not self.row.terms:
            yield self
            return
        yield from map(self.alone, self.occurrences)

    def alone(self, one: Occurrence) -> UtteranceScore:
        """Return the row as a row of one of its terms."""
        row = replace(self.row, term=one.term, entity_category=one.category, terms=())
        return replace(self, row=row, occurrences=(one,))

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
        return ErrorCounts(
            n=1,
            wer_sum=self.wer,
            cer_sum=self.cer,
            word_edits=self.word_edits,
            ref_words=self.ref_words,
            char_edits=self.char_edits,
            ref_chars=self.ref_chars,
            sentences_wrong=int(self.sentence_wrong),
            with_term=len(self.occurrences),
            terms_missed=sum(one.missed for one in self.occurrences),
            missed_by_spelling=sum(one.spelling_only for one in self.occurrences),
            rows_with_term=int(bool(self.occurrences)),
        )


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
            raise ValueError(f"{self.n} occurrences cannot stand in {self.rows} rows")
        if self.in_rows == self.n:
            object.__setattr__(self, "in_rows", None)

    @property
    def rows(self) -> int:
        """Rows."""
        return self.n if self.in_rows is None else self.in_rows

    @property
    def bracket(self) -> str:
        """The n as it stands in brackets: occurrences, and rows where these are fewer."""
        return str(self.n) if self.in_rows is None else f"{self.n} in {self.in_rows} rows"

    @property
    def unit(self) -> str:
        """The n in words: "8 rows", or "9 terms in 8 rows"."""
        rows = f"{self.rows} rows"
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
        """Occurrences of terms that were missed, of all occurrences."""
        return self.counts.keyword

    @property
    def terms(self) -> Iterator[str]:
        """The terms of all rows."""
        return (item.term for row in self.rows for item in row.row.flagged)

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

        Rows of one term are not independent; the bootstrap draws them as one. A row of several
        terms goes with its first.
        """
        by_block: dict[object, list[ErrorCounts]] = {}
        for place, row in enumerate(self.rows):
            by_block.setdefault(block_of(row.row.first_term, place), []).append(row.counts)
        return tuple(total(counts) for counts in by_block.values())

    def where(self, keep: Callable[[UtteranceScore], bool]) -> Scores:
        """Return the scores over the rows that ``keep`` accepts."""
        return Scores(tuple(row for row in self.rows if keep(row)))

    def by(self, dimension: str) -> dict[str | None, Scores]:
        """Return the scores for each value of a field; None stands for rows that lack it.

        By category and by term, a row of several terms is in the group of each.
        """
        groups: dict[str | None, list[UtteranceScore]] = {}
        for row in self.rows:
            for value, part in row.divided(dimension):
                groups.setdefault(value, []).append(part)
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
    """Score one row by the contract's definitions, and its terms in the canonical view."""
    hyp = normalise(row.hyp)
    words, ref_words, chars, ref_chars, _, wrong = measure(normalise(row.ref), hyp, None)
    found = find_occurrences(row, hyp)
    return UtteranceScore(row, words, ref_words, chars, ref_chars, wrong, found)


def score(rows: Iterable[Hypothesis]) -> Scores:
    """Score rows; the order is kept."""
    return Scores(tuple(score_row(row) for row in rows))
