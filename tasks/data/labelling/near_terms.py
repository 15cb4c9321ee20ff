"""Words that are nearly a term of a formulary, as a model writes a term that it misses."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from tasks.data.canonical import canonical
from tasks.data.inflections import ORDINARY_WORDS
from tasks.data.labelling.term_matcher import TermMatcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.labelling.formulary import FormularyTerm

SIMILAR = 0.75
"""The least share of letters, without blanks, that are alike."""
_FEWEST_LETTERS = 6
_MOST_WORDS = 4


class NearTermFinder:
    """Finds near misses of a formulary's terms.

    A model often writes one word as several, so that letters are compared without blanks. Short
    terms are left out: too many words are nearly one.
    """

    def __init__(self, terms: Sequence[FormularyTerm]) -> None:
        self._matcher = TermMatcher(terms)
        self._by_length: defaultdict[int, dict[str, str]] = defaultdict(dict)
        for term in terms:
            letters = canonical(term.term).replace(" ", "")
            if len(letters) >= _FEWEST_LETTERS:
                self._by_length[len(letters)].setdefault(letters, term.term)
        self._known: dict[str, tuple[str, float] | None] = {}

    def find(self, text: str) -> list[tuple[str, str]]:
        """Return the words of a text that are nearly a term, with it; most letters alike first."""
        near: list[tuple[float, str, str]] = []
        for words in self._matcher.words_between(canonical(text).split()):
            near += self._nearest(words)
        near.sort(reverse=True)
        return [(written, term) for _, written, term in near]

    def _nearest(self, words: Sequence[str]) -> list[tuple[float, str, str]]:
        """Return near misses in a stretch of words, of which no two share a word."""
        candidates: list[tuple[float, int, int, str]] = []
        for start in range(len(words)):
            for end in range(start + 1, min(start + _MOST_WORDS, len(words)) + 1):
                if words[start] in ORDINARY_WORDS and words[end - 1] in ORDINARY_WORDS:
                    continue
                found = self._find_term("".join(words[start:end]))
                if found is not None:
                    candidates.append((found[1], start, end, found[0]))
        # By the letters that are alike, so that a term of two words goes before one of them.
        candidates.sort(key=lambda one: (-one[0], one[2] - one[1], one[1]))
        taken: set[int] = set()
        near = []
        for letters, start, end, term in candidates:
            if taken.isdisjoint(range(start, end)):
                taken.update(range(start, end))
                near.append((letters, " ".join(words[start:end]), term))
        return near

    def _find_term(self, letters: str) -> tuple[str, float] | None:
        """Return the nearest term, and how many of its letters are alike."""
        if letters not in self._known:
            self._known[letters] = self._search(letters)
        return self._known[letters]

    def _search(self, letters: str) -> tuple[str, float] | None:
        least, most = int(len(letters) * SIMILAR), int(len(letters) / SIMILAR) + 1
        best: tuple[str, float] | None = None
        alike = 0.0
        for length in range(max(least, _FEWEST_LETTERS), most + 1):
            if terms := self._by_length.get(length):
                found = process.extractOne(
                    letters,
                    terms.keys(),
                    scorer=Levenshtein.normalized_similarity,
                    score_cutoff=SIMILAR if best is None else best[1],
                )
                if found is not None and (best is None or found[1] > best[1]):
                    best = (terms[found[0]], float(found[1]))
                    alike = best[1] * length
        return None if best is None else (best[0], alike)
