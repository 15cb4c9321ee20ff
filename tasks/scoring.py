"""WER, CER, KER and SER (contracts, section Metrics).

Counts travel, rates are properties. A metric over rows is the MEAN of the per-row values; the
pooled, corpus-level WER (total edits over total reference words) is another figure under its own
name. No rows is its own value, None, never 0. KER, the keyword error rate, is the share of rows
whose flagged term was missed; rows without a term do not count for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from tasks.normalise import contains_words, normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tasks.hypotheses import Hypothesis

DIMENSIONS = (
    "entity_category",
    "ipa_source",
    "noise_level",
    "context_type",
    "voice_id",
    "term",
)
"""The fields by which a score is broken down; the leaderboard shows four of them."""


@dataclass(frozen=True, slots=True)
class RowScore:
    """The counts of one row after normalisation.

    Attributes:
        row: the hypothesis that was scored.
        word_edits: Levenshtein distance in words.
        ref_words: words in the reference.
        char_edits: Levenshtein distance in characters.
        ref_chars: characters in the reference, spaces included.
        term_missed: whether the flagged term is absent from the hypothesis; None without a term.
        sentence_wrong: whether the normalised strings differ.
    """

    row: Hypothesis
    word_edits: int
    ref_words: int
    char_edits: int
    ref_chars: int
    term_missed: bool | None
    sentence_wrong: bool

    def __post_init__(self) -> None:
        if min(self.word_edits, self.ref_words, self.char_edits, self.ref_chars) < 0:
            raise ValueError("counts cannot be negative")
        if not self.sentence_wrong and (self.word_edits or self.char_edits):
            raise ValueError("a sentence without an error cannot have edits")

    @property
    def wer(self) -> float:
        """Word error rate of the row."""
        return self.word_edits / max(self.ref_words, 1)

    @property
    def cer(self) -> float:
        """Character error rate of the row."""
        return self.char_edits / max(self.ref_chars, 1)


@dataclass(frozen=True, slots=True)
class Share:
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

    def __add__(self, other: Share) -> Share:
        return Share(self.hits + other.hits, self.n + other.n)


@dataclass(frozen=True, slots=True)
class Scores:
    """The four metrics over a set of rows, and the pooled WER beside them."""

    rows: tuple[RowScore, ...]

    @property
    def n(self) -> int:
        """Rows scored."""
        return len(self.rows)

    @property
    def wer(self) -> float | None:
        """Mean of the rows' word error rates."""
        return _mean([row.wer for row in self.rows])

    @property
    def cer(self) -> float | None:
        """Mean of the rows' character error rates."""
        return _mean([row.cer for row in self.rows])

    @property
    def keyword(self) -> Share:
        """Rows whose term was missed, of the rows that have a term."""
        flagged = [row.term_missed for row in self.rows if row.term_missed is not None]
        return Share(sum(flagged), len(flagged))

    @property
    def sentence(self) -> Share:
        """Rows with any error."""
        return Share(sum(row.sentence_wrong for row in self.rows), self.n)

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
        if not self.rows:
            return None
        return sum(row.word_edits for row in self.rows) / max(
            sum(row.ref_words for row in self.rows), 1
        )

    def where(self, keep: Callable[[RowScore], bool]) -> Scores:
        """The scores over the rows that ``keep`` accepts."""
        return Scores(tuple(row for row in self.rows if keep(row)))

    def by(self, dimension: str) -> dict[str | None, Scores]:
        """The scores for each value of a field, None standing for rows that lack it."""
        groups: dict[str | None, list[RowScore]] = {}
        for row in self.rows:
            groups.setdefault(getattr(row.row, dimension), []).append(row)
        return {value: Scores(tuple(rows)) for value, rows in groups.items()}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def score_row(row: Hypothesis) -> RowScore:
    """Score one row by the contract's definitions."""
    ref, hyp = normalise(row.ref), normalise(row.hyp)
    ref_words, hyp_words = ref.split(), hyp.split()
    term = normalise(row.term).split() if row.term else []
    return RowScore(
        row=row,
        word_edits=Levenshtein.distance(ref_words, hyp_words),
        ref_words=len(ref_words),
        char_edits=Levenshtein.distance(ref, hyp),
        ref_chars=len(ref),
        term_missed=not contains_words(hyp_words, term) if term else None,
        sentence_wrong=ref != hyp,
    )


def score(rows: Iterable[Hypothesis]) -> Scores:
    """Score rows; the order is kept."""
    return Scores(tuple(score_row(row) for row in rows))


def scores_as_dict(scores: Scores) -> dict[str, object]:
    """What ``asr-flywheel score --json`` prints.

    ``by`` maps each dimension to its values, each with the number of rows that carry a term and
    their KER. Rows that lack the dimension's field are under ``(none)``.
    """
    return {
        "n": scores.n,
        "wer": scores.wer,
        "cer": scores.cer,
        "ker": scores.ker,
        "ser": scores.ser,
        "pooled_wer": scores.pooled_wer,
        "by": {
            dimension: {
                value or "(none)": {"n": group.keyword.n, "ker": group.ker}
                for value, group in sorted(
                    scores.by(dimension).items(), key=lambda item: item[0] or ""
                )
            }
            for dimension in DIMENSIONS
        },
    }
