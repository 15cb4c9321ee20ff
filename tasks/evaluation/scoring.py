"""WER, CER, KER and SER (contracts, section Metrics).

Counts travel, rates are properties. A metric over rows is the MEAN of the per-row values; the
pooled, corpus-level WER (total edits over total reference words) is another figure under its own
name. No rows is its own value, None, never 0. KER, the keyword error rate, is the share of term
occurrences that were missed; where each row has one term, as in the contract, that is the share of
rows. Rows without a term do not count for it. Canonical KER stands beside it: there, a term in
another spelling is not missed (tasks/data/canonical_terms.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from tasks.data.canonical import canonical
from tasks.data.text_normalizer import contains_words, normalise, normalise_term, to_the_letter
from tasks.evaluation.error_counts import ErrorCounts, Proportion, total
from tasks.evaluation.term_occurrences import Occurrence, find_occurrences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tasks.evaluation.hypotheses import Hypothesis

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
"""The counts of one row, in the order in which ``measure`` returns them."""


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
