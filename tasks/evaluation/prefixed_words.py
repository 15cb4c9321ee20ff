"""Words that a prefix or a letter makes another word: what no item of the strict view says.

"Febrile" and "afebrile" differ, and so do "hypotension" and "hypertension", whatever the word is.
"""

from __future__ import annotations

from functools import cache, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from tasks.evaluation.strict_table import ValueKind, strict_table
from tasks.evaluation.value_items import StrictFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.evaluation.clinical_values import Reading

_SHORTEST_STEM = 4
_SHORTEST_STEM_OF_A = 5
_LONGEST_ACRONYM = 6
_KEPT_WORDS = 1 << 16
_VOWELS = frozenset("aeiouy'")
_WORDS_TOO = frozenset(
    ("a", "an", "in", "im", "ad", "ab", "de", "bi", "il", "ir", "super", "extra")
)
"""Prefixes that are words, or letters, of their own."""


def turned_words(
    ref: Reading, hyp: Reading
) -> tuple[dict[ValueKind, StrictFault | None], tuple[str, ...]]:
    """Compare the words that are no items and stand in one text only.

    Returns:
        The kinds of the words that differ by a prefix, each with its fault where that has a name;
        and the abbreviations that nobody knows and that differ by one letter.
    """
    ref_words, hyp_words = set(ref.words), set(hyp.words)
    ref_only, hyp_only = ref_words - hyp_words, hyp_words - ref_words
    turned = {
        **_parted(hyp, hyp_only, ref_words, StrictFault.ADDED_NEGATION),
        **_parted(ref, ref_only, hyp_words, StrictFault.NEGATION),
    }
    if not ref_only or not hyp_only:
        return turned, ()
    if not (
        ref.acronyms
        or hyp.acronyms
        or any(map(_is_turnable, ref_only))
        or any(map(_is_turnable, hyp_only))
    ):
        return turned, ()
    prefixes = strict_table().prefixes
    # In the order of the texts: a set's order differs from process to process.
    ref_ordered = [word for word in ref.words if word in ref_only]
    hyp_ordered = [word for word in hyp.words if word in hyp_only]
    abbreviations = _abbreviations_that_differ(ref, hyp, ref_ordered, hyp_ordered)
    if abbreviations:
        turned[ValueKind.UNREAD] = None
    ref_ordered, hyp_ordered = list(map(_american, ref_ordered)), list(map(_american, hyp_ordered))
    ref_stems, hyp_stems = _stems(ref_ordered), _stems(hyp_ordered)
    ref_only, hyp_only = set(ref_ordered), set(hyp_ordered)
    if not ref_stems and not hyp_stems:
        return turned, abbreviations
    for stem, prefix in ref_stems.items():
        if stem in hyp_only and not _stands_alone(prefix, hyp_only):
            kind = prefixes[prefix]
            turned[kind] = StrictFault.NEGATION if kind is ValueKind.NEGATION else None
        elif stem in hyp_stems and _opposed(prefix, hyp_stems[stem]):
            turned[ValueKind.OPPOSITE] = None
    for stem, prefix in hyp_stems.items():
        if stem in ref_only and not _stands_alone(prefix, ref_only):
            kind = prefixes[prefix]
            turned[kind] = StrictFault.ADDED_NEGATION if kind is ValueKind.NEGATION else None
    return turned, abbreviations


def _parted(
    reading: Reading, only: set[str], other: set[str], lost: StrictFault
) -> dict[ValueKind, StrictFault | None]:
    """Compare a prefix that stands apart, as in "un remarkable", with the other text's word.

    Args:
        reading: the text.
        only: its words that the other text lacks.
        other: the other text's words.
        lost: the fault where the other text lacks a negation.
    """
    if only.isdisjoint(parted_prefixes()):
        return {}
    prefixes = strict_table().prefixes
    return {
        kind: lost if kind is ValueKind.NEGATION else None
        for prefix, stem in pairwise(reading.words)
        if prefix in only
        and prefix in parted_prefixes()
        and stem in other
        and prefix + stem not in other
        for kind in [prefixes[prefix]]
    }


@cache
def parted_prefixes() -> frozenset[str]:
    """Return the prefixes that are no words of their own."""
    return frozenset(strict_table().prefixes) - _WORDS_TOO


def _abbreviations_that_differ(
    ref: Reading, hyp: Reading, ref_only: Sequence[str], hyp_only: Sequence[str]
) -> tuple[str, ...]:
    """Return an abbreviation of either text and the word that differs from it by one letter."""
    for words, others, acronyms in (
        (ref_only, hyp_only, ref.acronyms),
        (hyp_only, ref_only, hyp.acronyms),
    ):
        for word in words:
            if _is_consonants(word) or word in acronyms:
                for other in others:
                    if Levenshtein.distance(word, other, score_cutoff=1) == 1:
                        return word, other
    return ()


@lru_cache(maxsize=_KEPT_WORDS)
def _is_turnable(word: str) -> bool:
    """Return whether one letter or a prefix may make another word of a word."""
    return _is_consonants(word) or bool(_stems_of(_american(word)))


@lru_cache(maxsize=_KEPT_WORDS)
def _is_consonants(word: str) -> bool:
    return len(word) <= _LONGEST_ACRONYM and _VOWELS.isdisjoint(word)


@cache
def _prefixes() -> tuple[str, ...]:
    return tuple(sorted(strict_table().prefixes, key=len, reverse=True))


def _stems(words: Iterable[str]) -> dict[str, str]:
    """Return what is left of words without their prefixes, with the prefix."""
    return dict(stem for word in words for stem in _stems_of(word))


@lru_cache(maxsize=_KEPT_WORDS)
def _stems_of(word: str) -> tuple[tuple[str, str], ...]:
    stems = []
    for prefix in _prefixes():
        shortest = _SHORTEST_STEM_OF_A if prefix == "a" else _SHORTEST_STEM
        if word.startswith(prefix) and len(word) - len(prefix) >= shortest:
            stems.append((word.removeprefix(prefix), prefix))
    return tuple(stems)


@lru_cache(maxsize=_KEPT_WORDS)
def _american(word: str) -> str:
    """Return a word with e for ae and oe, as "hypoglycemia" has it."""
    return word.replace("ae", "e").replace("oe", "e")


def _stands_alone(prefix: str, words: set[str]) -> bool:
    """Return whether a prefix is a word of its own: "hyper tension" is hypertension."""
    return prefix in words and prefix not in ("a", "an", "in", "im")


def _opposed(one: str, other: str) -> bool:
    kinds = strict_table().prefixes
    return one != other and not (kinds[one] is kinds[other] is ValueKind.NEGATION)
