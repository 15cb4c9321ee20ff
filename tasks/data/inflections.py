"""The plurals, singulars and possessives in which a text may have a term."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# English words that are abbreviations too, such as ALL, AS and IT: only their capitals tell.
_ORDINARY = """
    a i ad add age ago aid aids aim air all am an and ant any are arm art as ask at ate bad bag
    bar bat be bed beg best big bit bold both box boy bug bus but buy by cab call can cap car
    care cat chip clap cola coma come cup cut dad day did dim do dog dose dot dry due ear eat ebb
    egg end eve eye face fact far fast fat fed few fit fix flag fly for fox fun gap gas gave get gun
    gut had ham has hat he hen her him hint hip his hit hot how i ice if ill in into is it its
    jam jar jet job joy key kid lab lad lap last law lay leap led leg let lid lie lift lip log
    lot low mad man map mat may me men met mix mood mop my net new no nod nor not now nut odd of
    off oh oil old on one or our out own pad pain pan past pat pay peg pen pet pie pig pin pit
    pop pot pub put ran rap rat raw red rest rib rid rim rip rise rod row rub run sad sat saw
    say sea see set she shy sing sip sit six ski sky so son spa stem step sun tab tag tan tap
    tar tax tea ten the tic tie tip to toe ton too top toy try tub two up us use van vest via
    wait wake war was wave way we wet who why win wise wit woe won yes yet you
"""
ORDINARY_WORDS = frozenset(_ORDINARY.split())

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

    An ordinary English word is no form of a term: "aid" is none of AIDS.

    Args:
        words: its canonical words.
        category: drugs, tests and roles have no Latin plural.
        is_capitals: an abbreviation only gets an "s".
    """
    yield from (
        form
        for form in _forms(words, category, is_capitals=is_capitals)
        if form not in ORDINARY_WORDS
    )


def _forms(words: str, category: str | None, *, is_capitals: bool) -> Iterator[str]:
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
