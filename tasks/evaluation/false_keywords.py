"""Count false keywords: terms in a hypothesis that its reference lacks.

KER counts only whether a row's own term is there, so that a model that writes every drug name into
every row looks perfect. A *false keyword* is a term of the evaluation that stands in a hypothesis
and not in its reference. FKR, the false keyword rate, is the share of rows that hold one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.data.text_normalizer import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.evaluation.diff import KeywordErrorChange, PairedScores
    from tasks.evaluation.scoring import UtteranceScore


@dataclass(frozen=True)
class TermIndex:
    """An index of terms by their first word, each between spaces."""

    by_first_word: Mapping[str, tuple[str, ...]]

    def false_in(self, ref: str, hyp: str) -> tuple[str, ...]:
        """List the terms in a normalised hypothesis that its normalised reference lacks."""
        padded_ref, padded_hyp = f" {ref} ", f" {hyp} "
        return tuple(
            term[1:-1]
            for word in sorted(self.by_first_word.keys() & set(hyp.split()))
            for term in self.by_first_word[word]
            if term in padded_hyp and term not in padded_ref
        )

    def places_in(self, words: Sequence[str]) -> frozenset[int]:
        """Return the places, among a normalised text's words, that belong to a term."""
        places: set[int] = set()
        for start, word in enumerate(words):
            for padded in self.by_first_word.get(word, ()):
                term = padded.split()
                if list(words[start : start + len(term)]) == term:
                    places.update(range(start, start + len(term)))
        return frozenset(places)


def index_terms(terms: Iterable[str | None]) -> TermIndex:
    """Index the terms of a manifest; leave out None and empty ones."""
    index: defaultdict[str, list[str]] = defaultdict(list)
    for term in sorted({normalise(term) for term in terms if term} - {""}):
        index[term.split()[0]].append(f" {term} ")
    return TermIndex({word: tuple(padded_terms) for word, padded_terms in index.items()})


@dataclass(frozen=True)
class FalseKeywordEffect:
    """The effect of false keywords on a comparison.

    Attributes:
        rows: by category, rows with a term that hold a false keyword before and after.
        with_false_keywords_as_misses: by category, KER where a row that holds a false
            keyword counts as missed.
    """

    rows: Mapping[str, KeywordErrorChange]
    with_false_keywords_as_misses: Mapping[str, KeywordErrorChange]


def false_keyword_effect(pairing: PairedScores, term_index: TermIndex) -> FalseKeywordEffect:
    """Count the false keywords on both sides of a comparison."""

    def holds_one(row: UtteranceScore) -> bool | None:
        if row.term_missed is None:
            return None
        return bool(term_index.false_in(normalise(row.row.ref), normalise(row.row.hyp)))

    def missed_or_false_keyword(row: UtteranceScore) -> bool | None:
        return holds_one(row) or row.term_missed

    return FalseKeywordEffect(pairing.changes(holds_one), pairing.changes(missed_or_false_keyword))
