"""The plurals, singulars and possessives in which a text may have a term."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORTEST = 4
_SIBILANTS = ("s", "x", "z", "ch", "sh")
_NO_PLURALS = ("ss", "us", "is")
_VOWELS = "aeiou"
# Latin and Greek endings of anatomy and of conditions: singular, plural.
_CLASSICAL = (
    ("nx", "nges"),
    ("is", "es"),
    ("us", "i"),
    ("um", "a"),
    ("on", "a"),
    ("ma", "mata"),
    ("a", "ae"),
    ("ix", "ices"),
    ("ex", "ices"),
)
_WITHOUT_CLASSICAL = frozenset(("drug", "lab", "role"))


def inflections(words: str, category: str | None, *, is_capitals: bool) -> Iterator[str]:
    """Yield other forms of a term, in the canonical view; only its last word changes.

    Args:
        words: its canonical words.
        category: drugs, tests and roles have no Latin plural.
        is_capitals: an abbreviation only gets an "s".
    """
    before, _, last = words.rpartition(" ")
    if not last.isalpha():
        return
    stem = f"{before} " if before else ""
    # "Addison's" loses its apostrophe in the canonical view, so that a plural is a possessive too.
    yield f"{stem}{last}s"
    if is_capitals or len(last) < _SHORTEST:
        return
    if last.endswith("y") and last[-2] not in _VOWELS:
        yield f"{stem}{last[:-1]}ies"
    elif last.endswith(_SIBILANTS):
        yield f"{stem}{last}es"
    for singular in _singulars(last):
        yield stem + singular
    if category not in _WITHOUT_CLASSICAL:
        for singular, plural in _CLASSICAL:
            if last.endswith(singular):
                yield stem + last.removesuffix(singular) + plural
            elif last.endswith(plural) and len(last) > len(plural) + 2:
                yield stem + last.removesuffix(plural) + singular


def _singulars(word: str) -> Iterator[str]:
    """Yield what an English plural may be made of."""
    if not word.endswith("s") or word.endswith(_NO_PLURALS):
        return
    yield word[:-1]
    if word.endswith("ies"):
        yield f"{word[:-3]}y"
    elif word.endswith("es") and word[:-2].endswith(_SIBILANTS):
        yield word[:-2]
