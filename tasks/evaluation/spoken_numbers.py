"""Numbers as they are said and written: "two fifty", "one and a half", "point five", "1-1/2".

Nothing here knows a unit. A number is read from a place of a list of words, in small letters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from tasks.data import number_words
from tasks.data.number_words import HUNDRED, LARGE, ORDINALS, TEN, TWENTY, parse_cardinal

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALL = number_words.SMALL | {"nought": 0, "naught": 0, "fourty": 40}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4,
    "fourths": 4, "eighth": 8, "eighths": 8,
}  # fmt: skip
_CENTURIES = range(17, 21)
_DIGIT_BY_DIGIT = 3
"""So many digits are one number: "four five seven"."""
_FRACTION_DENOMINATORS = frozenset((2, 3, 4, 8))
_ORDINALS = {word: place for place, word in enumerate(ORDINALS) if place} | {
    "twentieth": 20, "thirtieth": 30, "fortieth": 40, "fiftieth": 50, "hundredth": 100,
}  # fmt: skip
_ARTICLES = frozenset(("a", "an"))
_ORDINAL_ENDINGS = frozenset(("st", "nd", "rd", "th"))
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_PLAIN = re.compile(r"\d+(?:\.\d+)?|\.\d+")
FIRST_WORDS = frozenset(
    (*SMALL, *LARGE, *_PARTS, *_ORDINALS, "point", "oh", "dozen", "couple", "a", "an")
)
"""The words with which a number may begin."""


@dataclass(frozen=True, slots=True)
class SpokenNumber:
    """A number at a place of a text.

    Attributes:
        value: its value, without a sign.
        end: the place after it.
        paired: whether it was said as "two fifty", which may also be two numbers.
        part: whether it is a part of one: a half, 1/4.
        unread: its spelling, where that has no or more than one reading.
    """

    value: Fraction
    end: int
    paired: bool = False
    part: bool = False
    unread: str | None = None


def is_digits(word: str) -> bool:
    """Return whether a word is written in digits."""
    return word[0].isdecimal() or (len(word) > 1 and word[0] == "." and word[1].isdecimal())


def read_number(words: Sequence[str], place: int) -> SpokenNumber | None:
    """Return the number that begins at a place, with its fraction: "one and a half", "1 1/2"."""
    if place >= len(words):
        return None
    number = _part(words, place) or _whole(words, place)
    if number is None or number.unread is not None or number.part:
        return number
    return _with_part(words, number)


def read_ordinal(words: Sequence[str], place: int) -> tuple[int, int] | None:
    """Return an ordinal and the place after it: "2nd", "second", "twenty first"."""
    word = words[place]
    after = words[place + 1] if place + 1 < len(words) else ""
    if word.isdecimal() and after in _ORDINAL_ENDINGS:
        return int(word), place + 2
    if word in _ORDINALS:
        return _ORDINALS[word], place + 1
    if SMALL.get(word, 0) >= TWENTY and 0 < _ORDINALS.get(after, TEN) < TEN:
        return SMALL[word] + _ORDINALS[after], place + 2
    return None


def in_digits(value: Fraction) -> str:
    """Return a number in digits, or as a fraction where its decimals have no end."""
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    text, places = "", 0
    scaled = value
    while scaled.denominator != 1:
        scaled *= 10
        places += 1
    text = str(scaled.numerator).rjust(places + 1, "0")
    return f"{text[:-places]}.{text[-places:]}"


def _word(words: Sequence[str], place: int) -> str:
    return words[place] if place < len(words) else ""


@lru_cache(maxsize=4096)
def _digits(word: str) -> Fraction | None:
    """Return the value of digits, or None for a spelling with several readings: 0,5 or 007."""
    if _GROUPED.fullmatch(word):
        return Fraction(word.replace(",", ""))
    if not _PLAIN.fullmatch(word) or (len(word) > 1 and word[0] == "0" and word[1] != "."):
        return None
    return Fraction(word)


def _whole(  # noqa: PLR0911 - one return a form
    words: Sequence[str], place: int
) -> SpokenNumber | None:
    """Return a number without "and a half"."""
    word = words[place]
    if word == "point":
        decimals, end = _decimals(words, place + 1)
        return SpokenNumber(Fraction(f"0.{decimals}"), end) if decimals else None
    if is_digits(word):
        return _written(words, place)
    article = word in _ARTICLES
    first = _word(words, place + 1) if article else word
    if first == "dozen":
        return SpokenNumber(Fraction(12), place + 1 + article)
    if first == "couple" and article:
        of = _word(words, place + 2) == "of"
        return SpokenNumber(Fraction(2), place + 2 + of)
    if first in LARGE:
        return _large(words, place + article) if article or first == "hundred" else None
    if article or word not in SMALL:
        return None
    value, end = _parse_cardinal(words, place)
    return _spoken(words, place, value, end)


def _large(words: Sequence[str], place: int) -> SpokenNumber | None:
    """Return "a hundred and twenty", read as one hundred and twenty."""
    if _word(words, place) not in LARGE:
        return None
    value, end = _parse_cardinal(("one", *words[place:]), 0)
    return SpokenNumber(Fraction(value), place + end - 1)


def _written(words: Sequence[str], place: int) -> SpokenNumber:
    value, end = _digits(words[place]), place + 1
    if value is None:
        return SpokenNumber(Fraction(0), end, unread=words[place])
    whole = words[place].isdecimal()
    while whole and _word(words, end) == "000":
        value, end = value * 1000, end + 1
    if whole and _word(words, end) == "point":
        decimals, after = _decimals(words, end + 1)
        if decimals:
            value, end = Fraction(f"{value}.{decimals}"), after
    while (large := LARGE.get(_word(words, end))) is not None:
        value, end = value * large, end + 1
    if _word(words, end) == "/" and whole and value.denominator == 1:
        below = _word(words, end + 1)
        if below.isdecimal() and _word(words, end + 2) != "/" and _is_part(value, int(below)):
            return SpokenNumber(value / int(below), end + 2, part=True)
    return SpokenNumber(value, end)


def _is_part(value: Fraction | int, below: int) -> bool:
    return 0 < value < below and below in _FRACTION_DENOMINATORS


def _spoken(words: Sequence[str], place: int, value: int, end: int) -> SpokenNumber:
    """Return a number in words, with what follows its cardinal: decimals, "oh four", "fifty"."""
    paired = False
    after = _word(words, end)
    single = end == place + 1
    if single and value < TEN:
        digits, stop = _digit_run(words, place)
        # "bed four five seven"
        if len(digits) >= _DIGIT_BY_DIGIT and _word(words, stop) not in LARGE:
            value, end, single = int(digits), stop, False
        elif value and SMALL.get(after, 0) >= TEN:  # "two fifty"
            rest, stop = _parse_cardinal(words, end)
            if rest < HUNDRED:
                value, end, paired = 100 * value + rest, stop, True
    elif value in _CENTURIES and single and SMALL.get(after, 0) >= TEN:
        rest, stop = _parse_cardinal(words, end)
        if rest < HUNDRED:
            value, end, paired = 100 * value + rest, stop, True
    if _word(words, end) == "point":
        decimals, stop = _decimals(words, end + 1)
        if decimals:
            factor, stop = _past_large(words, stop)
            return SpokenNumber(factor * Fraction(f"{value}.{decimals}"), stop)
    return SpokenNumber(Fraction(value), end, paired)


def _past_large(words: Sequence[str], place: int) -> tuple[int, int]:
    factor = 1
    while (large := LARGE.get(_word(words, place))) is not None:
        factor, place = factor * large, place + 1
    return factor, place


def _digit_run(words: Sequence[str], place: int) -> tuple[str, int]:
    """Return the digits that are said one by one: "one oh four"."""
    digits: list[str] = []
    while place < len(words):
        word = words[place]
        value = 0 if word == "oh" and digits else SMALL.get(word, TEN)
        if value >= TEN:
            break
        digits.append(str(value))
        place += 1
    return "".join(digits), place


def _decimals(words: Sequence[str], place: int) -> tuple[str, int]:
    """Return the decimals after "point": digit by digit, or a number under a hundred."""
    word = _word(words, place)
    if word.isdecimal():
        return word, place + 1
    if SMALL.get(word, 0) >= TEN:  # "point twenty five"
        value, end = _parse_cardinal(words, place)
        return (str(value), end) if value < HUNDRED else ("", place)
    digits = []
    while (value := 0 if word == "oh" else SMALL.get(word, TEN)) < TEN:
        digits.append(str(value))
        place += 1
        word = _word(words, place)
    return "".join(digits), place


def _part(words: Sequence[str], place: int) -> SpokenNumber | None:
    """Return a part of one in words: "half", "a quarter", "three quarters", "one over two"."""
    word, after = words[place], _word(words, place + 1)
    if word in ("half", "quarter") and (word == "half" or after in ("of", "tablet", "tab")):
        if after in _ARTICLES and _word(words, place + 2) in LARGE:
            factor, end = _past_large(words, place + 2)  # "half a million"
            return SpokenNumber(Fraction(factor, 2), end, part=True)
        return SpokenNumber(Fraction(1, _PARTS[word]), place + 1, part=True)
    above = 1 if word in _ARTICLES else SMALL.get(word, 0)
    below = _PARTS.get(after, 0)
    if not 0 < above < below or (above > 1) != after.endswith("s"):
        return None
    # "a third dose" is an ordinal, and "a third of the dose" a part.
    if word in _ARTICLES and after not in ("half", "quarter") and _word(words, place + 2) != "of":
        return None
    return SpokenNumber(Fraction(above, below), place + 2, part=True)


def _with_part(words: Sequence[str], number: SpokenNumber) -> SpokenNumber:
    """Add a part that follows a number: "and a half", " 1/2", "-1/2"."""
    if number.value.denominator != 1:
        return number
    place = number.end
    word = _word(words, place)
    part = None
    if word == "and" and place + 1 < len(words):
        part = _part(words, place + 1) or _written_part(words, place + 1)
    elif word == "-":
        part = _written_part(words, place + 1)
    elif word.isdecimal():
        part = _written_part(words, place)
    if part is None:
        return number
    return SpokenNumber(number.value + part.value, part.end, number.paired)


def and_a_part(words: Sequence[str], place: int) -> SpokenNumber | None:
    """Return the part of "a tablet and a half", which follows its unit."""
    if _word(words, place) == "and" and place + 1 < len(words):
        return _part(words, place + 1)
    return None


def _written_part(words: Sequence[str], place: int) -> SpokenNumber | None:
    if not (_word(words, place).isdecimal() and _word(words, place + 1) == "/"):
        return None
    number = _written(words, place)
    return number if number.part else None


def _parse_cardinal(words: Sequence[str], start: int) -> tuple[int, int]:
    """Parse a cardinal in words, such as "two hundred and fifty"."""
    return parse_cardinal(words, start, partial(_joins, words), SMALL)


def _joins(words: Sequence[str], place: int, group: int, total: int) -> bool:
    """Return whether "and" goes on from "two hundred" or "a thousand", with no part of one."""
    takes_and = group % HUNDRED == 0 if group else bool(total)
    return takes_and and _word(words, place + 1) in SMALL and _word(words, place + 2) not in _PARTS
