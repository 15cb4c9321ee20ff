"""Count false keywords: terms in a hypothesis that its reference lacks.

KER counts only whether a row's own term is there, so that a model that writes every drug name into
every row looks perfect. A *false keyword* is a term of the evaluation that stands in a hypothesis
and not in its reference. FKR, the false keyword rate, is the share of rows that hold one. Terms are
looked for in the canonical view: "x-ray" is no false keyword where "x ray" was said. Nor is
"warfarin" where "warfarin's" was said, or "metastasis" for "metastases": KER counts such an ending
as a miss, as the contract has it, but nobody is told of a term that was not there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.data.canonical_terms import SpokenText, canonical_term
from tasks.data.inflections import inflections
from tasks.data.text_normalizer import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tasks.data.canonical_terms import CanonicalTerm
    from tasks.evaluation.diff import PairedScores
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.scoring import UtteranceScore
    from tasks.evaluation.term_occurrences import Occurrence


@dataclass(frozen=True)
class TermIndex:
    """An index of terms.

    Attributes:
        by_first_word: the terms as the contract normalises them, each between spaces.
        by_spelling: the terms under each spelling of their rarest word.
        of_numbers: the terms that have no word but numbers.
    """

    by_first_word: Mapping[str, tuple[str, ...]]
    by_spelling: Mapping[str, tuple[CanonicalTerm, ...]]
    of_numbers: tuple[CanonicalTerm, ...] = ()

    def false_in(self, ref: SpokenText, hyp: SpokenText) -> tuple[str, ...]:
        """List the terms that a hypothesis holds, in any spelling, and its reference does not.

        A reference that holds an inflection of a term holds the term.
        """
        found = [
            term
            for word in self.by_spelling.keys() & hyp.words_for_lookup()
            for term in self.by_spelling[word]
        ]
        return tuple(
            sorted(
                {
                    term.plain[1:-1]
                    for term in (*found, *self.of_numbers)
                    if not ref.holds_to_the_letter(term)
                    and hyp.may_hold(term)
                    and term.stands_in(hyp.canonical)
                    and not ref.holds(term)
                    and not _holds_inflection(ref, term)
                }
            )
        )

    def false_to_the_letter(self, ref: str, hyp: str) -> tuple[str, ...]:
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


@lru_cache(maxsize=1 << 14)
def _inflected(term: CanonicalTerm) -> tuple[CanonicalTerm, ...]:
    """Return a term's plurals, singulars and possessives."""
    words = term.words.strip()
    forms = [*inflections(words, None, is_capitals=False)]
    # "MRIs" is "m r i s" in the canonical view.
    if re.search(r"(^| )\w \w s$", words):
        forms.append(words.removesuffix(" s"))
    return tuple(replace(term, words=f" {form} ") for form in forms)


def _holds_inflection(text: SpokenText, term: CanonicalTerm) -> bool:
    return any(form.stands_in(text.canonical) for form in _inflected(term))


def index_terms(terms: Iterable[str | None]) -> TermIndex:
    """Index the terms of a manifest; leave out None and empty ones."""
    written = {normalise(term): term for term in terms if term}
    by_first_word: defaultdict[str, list[str]] = defaultdict(list)
    by_spelling: defaultdict[str, list[CanonicalTerm]] = defaultdict(list)
    of_numbers: list[CanonicalTerm] = []
    one_of_each: dict[str, CanonicalTerm] = {}
    for plain in sorted(written.keys() - {""}):
        by_first_word[plain.split()[0]].append(f" {plain} ")
        term = canonical_term(written[plain])
        one_of_each.setdefault(term.words, term)
    for term in one_of_each.values():
        if not term.sources:
            of_numbers.append(term)
            continue
        for spelling in min(term.sources, key=len):
            by_spelling[spelling].append(term)
    return TermIndex(
        {word: tuple(padded_terms) for word, padded_terms in by_first_word.items()},
        {word: tuple(found) for word, found in by_spelling.items()},
        tuple(term for term in of_numbers if term.words),
    )


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


class FalseKeywordFinder:
    """Tell whether a row holds a false keyword; each pair of texts is looked at once."""

    def __init__(self, term_index: TermIndex) -> None:
        self._term_index = term_index
        self._known: dict[tuple[str, str], bool] = {}

    def __call__(self, row: UtteranceScore) -> bool | None:
        """Return whether the row holds one; None where it has no term."""
        if row.term_missed is None:
            return None
        texts = (row.row.ref, row.row.hyp)
        if texts not in self._known:
            self._known[texts] = bool(self._term_index.false_in(*map(SpokenText, texts)))
        return self._known[texts]


def false_keyword_effect(
    pairing: PairedScores,
    holds_one: Callable[[UtteranceScore], bool | None],
    missed: Callable[[UtteranceScore, Occurrence], bool],
) -> FalseKeywordEffect:
    """Count the false keywords on both sides of a comparison.

    Args:
        pairing: the rows.
        holds_one: whether a row holds a false keyword; see ``FalseKeywordFinder``.
        missed: whether a term of a row counts as missed.
    """

    def missed_or_false_keyword(row: UtteranceScore, occurrence: Occurrence) -> bool:
        return bool(holds_one(row)) or missed(row, occurrence)

    return FalseKeywordEffect(
        pairing.row_changes(holds_one), pairing.changes(missed_or_false_keyword)
    )
