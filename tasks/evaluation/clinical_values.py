"""The strict view: numbers, doses, units and negations, which the contract's normaliser blurs.

"1.5 mg" and "15 mg" are one string to the normaliser, and one letter of many to CER. Here a text is
read for what must not be wrong, in its own order, and two texts agree or do not. Spelling is
free: "one point five milligrams", "1.5 mg" and "1.5mg" are the same dose; "don't" and "not" are the
same negation. English only, as the bases are.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class ValueKind(StrEnum):
    """The kinds of critical items."""

    NUMBER = "numbers and doses"
    FREQUENCY = "frequencies"
    NEGATION = "negations"


class Item(NamedTuple):
    """A critical item, in one spelling: ``Item(Kind.NUMBER, "1.5 mg")``."""

    kind: ValueKind
    text: str


_ONES_IN_WORDS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen
"""
_TENS_IN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: place for place, word in enumerate(_ONES_IN_WORDS.split())} | {
    word: 10 * place for place, word in enumerate(_TENS_IN_WORDS.split(), start=2)
}
_LARGE = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_UNITS = {
    spelling: unit
    for unit, spellings in {
        "mg": "mg mgs milligram milligrams",
        "mcg": "mcg mcgs ug microgram micrograms",
        "g": "g gm gms gram grams",
        "kg": "kg kgs kilogram kilograms",
        "ml": "ml mls cc ccs milliliter milliliters millilitre millilitres",
        "l": "l liter liters litre litres",
        "dl": "dl deciliter deciliters decilitre decilitres",
        "mmol": "mmol millimole millimoles",
        "meq": "meq milliequivalent milliequivalents",
        "unit": "unit units iu",
        "%": "% percent",
        "mmhg": "mmhg",
        "tablet": "tablet tablets tab tabs",
        "capsule": "capsule capsules",
        "puff": "puff puffs",
        "drop": "drop drops",
        "minute": "minute minutes min mins",
        "hour": "hour hours hr hrs",
        "day": "day days",
        "week": "week weeks",
        "month": "month months",
        "year": "year years",
    }.items()
    for spelling in spellings.split()
}
_FREQUENCIES = {
    "once": "once",
    "twice": "twice",
    "thrice": "thrice",
    "daily": "daily",
    "nightly": "nightly",
    "hourly": "hourly",
    "weekly": "weekly",
    "monthly": "monthly",
    "bid": "twice daily",
    "tid": "thrice daily",
    "qid": "four times daily",
    "prn": "as needed",
}
_NEGATIONS = {
    **dict.fromkeys(("not", "cannot"), "not"),
    **dict.fromkeys(("deny", "denies", "denied", "denying"), "denies"),
    **{word: word for word in ("no", "never", "none", "without", "neither", "nor", "negative")},
}
# A number may be glued to its unit; a comma before three digits groups them.
_WORD = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|[a-z]+(?:'[a-z]+)?|%|[^\sa-z0-9]")
_DIGITS = frozenset("0123456789")
_BEGINNINGS = frozenset((*_SMALL, *_LARGE, *_FREQUENCIES, *_NEGATIONS))


def critical(text: str) -> tuple[Item, ...]:
    """Return the critical items of a text as it was written, in order."""
    lowered = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()
    lowered = lowered.replace("’", "'").replace("-", " ")
    # Most hypotheses are nothing but words, which need no pattern to be told apart.
    if lowered.replace(" ", "").isalpha():
        words = lowered.split()
        starts = [place for place, word in enumerate(words) if word in _BEGINNINGS]
    else:
        words = _WORD.findall(lowered)
        starts = [
            place
            for place, word in enumerate(words)
            if word in _BEGINNINGS or word[0] in _DIGITS or word[-3:] == "n't"
        ]
    return tuple(_items(words, starts)) if starts else ()


def _items(words: Sequence[str], starts: Sequence[int]) -> Iterator[Item]:
    """Return the items that begin at these places; a word belongs to one item only."""
    free = 0
    for place in starts:
        if place < free:
            continue
        word = words[place]
        number, after = _number(words, place)
        if number is not None:
            unit = _UNITS.get(words[after]) if after < len(words) else None
            yield Item(ValueKind.NUMBER, f"{number} {unit}" if unit else number)
            free = after + (unit is not None)
        elif word in _FREQUENCIES:
            yield Item(ValueKind.FREQUENCY, _FREQUENCIES[word])
        elif word in _NEGATIONS or word.endswith("n't"):
            yield Item(ValueKind.NEGATION, _NEGATIONS.get(word, "not"))


def _number(tokens: Sequence[str], start: int) -> tuple[str | None, int]:
    """Return the number that begins at a word, in digits, and the place after it."""
    if tokens[start][0].isdecimal():
        return _plain_digits(Decimal(tokens[start].replace(",", ""))), start + 1
    integer, place = _parse_cardinal(tokens, start)
    if integer is None:
        return None, start
    digits = []
    if place < len(tokens) and tokens[place] == "point":
        for word in tokens[place + 1 :]:
            if _SMALL.get(word, 10) > 9:  # noqa: PLR2004 - decimals are spoken digit by digit
                break
            digits.append(str(_SMALL[word]))
    if not digits:
        return str(integer), place
    return _plain_digits(Decimal(f"{integer}.{''.join(digits)}")), place + 1 + len(digits)


def _parse_cardinal(tokens: Sequence[str], start: int) -> tuple[int | None, int]:
    """Parse a cardinal in words, such as "two hundred and fifty"."""
    total, group, place = 0, None, start
    while place < len(tokens):
        word = tokens[place]
        if word in _SMALL and _may_follow(group, _SMALL[word]):
            group = (group or 0) + _SMALL[word]
        elif word in _LARGE and group is not None:
            if word == "hundred":
                group *= 100
            else:
                total, group = total + group * _LARGE[word], 0
        elif not (word == "and" and group and group % 100 == 0 and _is_small(tokens, place + 1)):
            break
        place += 1
    return (None, start) if group is None else (total + group, place)


def _may_follow(group: int | None, value: int) -> bool:
    """Return whether "five" may go on from "twenty", but not from "four" or "ten"."""
    if group is None or (group % 100 == 0 and group != 0):
        return True
    if group == 0:
        return value != 0
    return group % 100 >= 20 and group % 10 == 0 and 0 < value < 10  # noqa: PLR2004


def _is_small(tokens: Sequence[str], place: int) -> bool:
    return place < len(tokens) and tokens[place] in _SMALL


def _plain_digits(number: Decimal) -> str:
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


@dataclass(frozen=True, slots=True)
class StrictView:
    """Two texts' critical items.

    Attributes:
        kinds: the kinds that either of them holds.
        wrong: the kinds in which they differ.
    """

    kinds: frozenset[ValueKind]
    wrong: frozenset[ValueKind]


_NOTHING: StrictView = StrictView(frozenset(), frozenset())


def compare(ref: str, hyp: str) -> StrictView:
    """Compare the critical items of two texts as they were written."""
    ref_items = critical(ref)
    hyp_items = ref_items if ref == hyp else critical(hyp)
    if not ref_items and not hyp_items:
        return _NOTHING
    kinds = frozenset(item.kind for item in (*ref_items, *hyp_items))
    if ref_items == hyp_items:
        return StrictView(kinds, frozenset())
    wrong = frozenset(
        kind
        for kind in kinds
        if [item for item in ref_items if item.kind is kind]
        != [item for item in hyp_items if item.kind is kind]
    )
    return StrictView(kinds, wrong)
