"""The canonical view: texts that are the same spoken words become one text.

The contract's normaliser counts "x-ray" and "x ray", "25" and "twenty five", "Crohn's" and
"Crohn" as different words. Its metrics stay so, and decide. This view stands beside them: it says
which of their errors are spelling alone. It serves false keywords, near misses, the guardrail, the
manifest's check of terms, and the matching of rows.

What is alike: hyphen and space in compounds; the joined form of listed compounds, never behind a
prefix such as a-, non- or hyper-; digits and number words; units and abbreviations; British and
American spellings; apostrophes, and the "'s" of eponyms; letters with and without accents. Format
characters such as the soft hyphen are dropped. The tables are in spelling_tables.py. English only,
as the bases are.
"""

from __future__ import annotations

import re
import unicodedata
from functools import partial
from typing import TYPE_CHECKING

from tasks.common.format_characters import FORMAT_CHARACTERS
from tasks.data import spelling_tables as tables
from tasks.data.number_words import (
    HUNDRED,
    LARGE,
    ONES,
    ORDINALS,
    SMALL,
    TEN,
    TENS,
    parse_cardinal,
)
from tasks.data.text_normalizer import join_hyphens, normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Replacement = str | Callable[[re.Match[str]], str]

_FOLDED = str.maketrans(
    {
        **dict.fromkeys(FORMAT_CHARACTERS, ""),
        **dict.fromkeys("\u2018\u2019\u201b\u02bc\u02b9\u00b4\u2032\u0060\uff07", "'"),
        **{char: f" {unicodedata.normalize('NFKD', char).replace('⁄', '/')} " for char in "½⅓⅔¼¾⅛"},
        "\u00b5": "u",
        "\u03bc": "u",
        "\u00b0": " degree ",
        "\u2212": "-",
        **dict.fromkeys("™℠®©", ""),
    }
)
_GREEK = dict(
    zip("αβγδεκλω", tables.words("alpha beta gamma delta epsilon kappa lambda omega"), strict=True)
)
_GREEK_LETTER = re.compile(
    f"(?P<joined>(?<=[^\\W\\d_]))?(?P<letter>[{''.join(_GREEK)}])(?=(?P<next>[^\\W\\d_])?)"
)
_RAISED = re.compile("(?<=\\d)(?=[⁰¹²³⁴-⁹])")
_ACCENTS = re.compile("[\u0300-\u036f]")

# Letters, blanks and marks of sentences: what is left of most texts is nothing.
_PLAIN_MARKS = b' \t\n\r,;!?"()' + bytes(range(65, 91)) + bytes(range(97, 123))

_POSSESSIVE_APART = re.compile(r"(?<=\w) 's\b")
_EPONYM = re.compile(rf"(?<=\w)'s?(?= (?:{tables.HEAD_NOUNS.replace(' ', '|')})s?\b)")
_DOTTED = re.compile(r"(?<=[^\W\d_])\.(?=[^\W\d_])")
_RANGE = re.compile(r"(?<![\w.-])(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)(?![\w-])")
_MINUS = re.compile(r"(?<![\w)-])-(?=\.?\d)")
_MONEY = re.compile(r"([$£€])\s?(\d[\d,]*(?:\.\d+)?)")
_CURRENCIES = {"$": "dollars", "£": "pounds", "€": "euros"}
_CLOCK = re.compile(r"\b(\d\d?):(\d\d)\b")
_RATIO = re.compile(r"(?<![\w/.])(\d{1,4})/(\d{1,4})(?![\w/])")
_PER = re.compile(
    rf"(\d|\b(?:{'|'.join((*tables.UNITS, *tables.UNITS_BEHIND_NUMBERS))}))\s?/\s?"
    rf"(?=(?:{tables.DENOMINATORS.replace(' ', '|')})\b)"
)
_WITHOUT = re.compile(r"\bw/o\b")
_WITH = re.compile(r"\bw/")
_PLUS = re.compile(r"(?<=\d)\+")
_POSITIVE = re.compile(r"(?<![\w)+])\+(?=\.?\d)")
_TOKEN = re.compile(
    r"\d+(?:,\d{3})+(?:\.\d+)?|\d+/\d+(?=\s|$)|\d*\.\d+|\d{1,3}(?:st|nd|rd|th)\b|\d+"
    r"|\b(?:an?|i[nm])-[^\W\d]+|[^\W\d]+"
)
_COMPARISONS = (
    ("<=", "less than or equal to"),
    (">=", "greater than or equal to"),
    ("≤", "less than or equal to"),
    ("≥", "greater than or equal to"),
    ("<", "less than"),
    (">", "greater than"),
    ("±", "plus or minus"),
)
_CENTURIES = range(11, 21)
_LEAST_PRESSURE = 30  # 120/80 is a pressure, 1/2 a fraction

_TENS_IN_ORDER = tuple(TENS)
_FRACTIONS = {"half": "1/2"}
DIGITS = frozenset("0123456789")

_TRIGGERS = frozenset(
    (
        *tables.WORDS,
        *tables.NAMES_THAT_ARE_WORDS,
        *tables.NUMBERED,
        *SMALL,
        *LARGE,
        *_FRACTIONS,
        "point",
        "per",
        "degrees",
    )
)


def canonical(text: str, plain: str | None = None) -> str:
    """Return a text as it was written in the one spelling of its spoken words.

    Args:
        text: as it was written.
        plain: the same, normalised, where that is known already.
    """
    plain = normalise(text) if plain is None else plain
    if not is_plain(text):
        return " ".join(_respell_units(_respell_numbers(_respell_words(_tokens(text)))))
    words = plain.split(" ")
    if _TRIGGERS.isdisjoint(words):
        return plain
    return " ".join(_respell_units(_respell_numbers(_respell_words(words))))


def is_plain(text: str) -> bool:
    """Return whether a text has no digit and no sign that is spoken or joins words."""
    if not text.isascii():
        return False
    marks = text.encode().translate(None, _PLAIN_MARKS)
    return not marks or (marks == b"." and text[-1] == ".")


def _spell_greek(found: re.Match[str]) -> str:
    """Return a Greek letter's name, apart from the letters beside it: "TNFα" is "TNF alpha"."""
    before = "" if found["joined"] is None else " "
    return f"{before}{_GREEK[found['letter']]}{'' if found['next'] is None else ' '}"


def _tokens(text: str) -> list[str]:
    """Return words and numbers, each sign that is spoken put into words."""
    if not text.isascii():
        text = _RAISED.sub("^", join_hyphens(text.translate(_FOLDED)))
        text = _GREEK_LETTER.sub(_spell_greek, text)
        text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    text = text.lower()
    for sign, replacements in _SIGNS:
        if sign in text:
            for pattern, replacement in replacements:
                text = pattern.sub(replacement, text)
    return _TOKEN.findall(text)


def _spoken_range(found: re.Match[str]) -> str:
    between = "to" if float(found[1]) < float(found[2]) else ""
    return f"{found[1]} {between} {found[2]}"


def _spoken_ratio(found: re.Match[str]) -> str:
    """Return "120 over 80" of a blood pressure; a fraction stays as it is."""
    return f"{found[1]} over {found[2]}" if int(found[1]) >= _LEAST_PRESSURE else found[0]


def _spoken_clock(found: re.Match[str]) -> str:
    hour, minute = int(found[1]), int(found[2])
    return f"{hour}{minute}" if _reads_as_year(hour, minute) else f"{hour} {found[2]}"


def _spoken_money(found: re.Match[str]) -> str:
    return f"{found[2]} {_CURRENCIES[found[1]]}"


_SIGNS: tuple[tuple[str, tuple[tuple[re.Pattern[str], _Replacement], ...]], ...] = (
    ("`", ((re.compile("`"), "'"),)),
    ("'", ((_POSSESSIVE_APART, "s"), (_EPONYM, ""), (re.compile("'"), ""))),
    (".", ((_DOTTED, ""),)),
    ("-", ((_RANGE, _spoken_range), (_MINUS, " minus "))),
    (
        "/",
        (
            (_WITHOUT, "without "),
            (_WITH, "with "),
            (_RATIO, _spoken_ratio),
            (_PER, r"\1 per "),
        ),
    ),
    (":", ((_CLOCK, _spoken_clock),)),
    *((currency, ((_MONEY, _spoken_money),)) for currency in _CURRENCIES),
    ("%", ((re.compile("%"), " percent "),)),
    ("&", ((re.compile("&"), " and "),)),
    ("+", ((_PLUS, " plus"), (_POSITIVE, " plus "))),
    *((sign, ((re.compile(re.escape(sign)), f" {words} "),)) for sign, words in _COMPARISONS),
)
"""What is done to a text that holds a sign, in this order."""


def _respell_words(tokens: list[str]) -> list[str]:
    """Return what each spelling is spoken as; numbers in digits without their commas."""
    words: list[str] = []
    for place, spelling in enumerate(tokens):
        if spelling not in _SPELLINGS and spelling.isalpha():
            words.append(spelling)
        elif spelling == "cent" and words and words[-1] == "per":
            words[-1] = "percent"
        elif spelling in tables.ROMAN and words and words[-1] in tables.NUMBERED:
            words.append(tables.ROMAN[spelling])
        elif spelling in tables.WORDS:
            words.extend(tables.WORDS[spelling])
        elif spelling in tables.NAMES_THAT_ARE_WORDS:
            is_eponym = _at(tokens, place + 1) in _HEAD_NOUNS
            words.append(tables.NAMES_THAT_ARE_WORDS[spelling] if is_eponym else spelling)
        elif spelling[-1] in "tdh" and spelling[0] in DIGITS:
            words.extend(_ordinal(int(spelling[:-2])) or (spelling,))
        elif spelling[:3] == "in-" and spelling[3:] in tables.HYPHENATED_WITH_IN:
            words += ["in", spelling[3:]]
        elif spelling[0] == ".":
            words.append(f"0{spelling}")
        else:
            words.append(spelling.replace(",", ""))
    return words


_HEAD_NOUNS = frozenset(tables.HEAD_NOUNS.split())
_SPELLINGS = frozenset((*tables.WORDS, *tables.NAMES_THAT_ARE_WORDS, *tables.ROMAN, "cent"))


def _ordinal(number: int) -> tuple[str, ...]:
    """Return "21st" as "twenty", "first"; nothing where it is too large."""
    if number < len(ORDINALS):
        return (ORDINALS[number],)
    tens, ones = divmod(number, 10)
    if tens >= TEN:
        return ()
    if not ones:
        return (tables.ORDINAL_TENS[tens - 2],)
    return (_TENS_IN_ORDER[tens - 2], ORDINALS[ones])


def _respell_numbers(words: list[str]) -> list[str]:
    """Return the words with every number in digits."""
    respelled: list[str] = []
    place = 0
    while place < len(words):
        word = words[place]
        number, after = "", place
        if word in _NUMBER_WORDS or word[0] in DIGITS:
            number, after = _number(words, place)
        respelled.append(number or word)
        place = max(after, place + 1)
    return respelled


_NUMBER_WORDS = frozenset((*SMALL, *_FRACTIONS, "a", "point"))


def _number(words: Sequence[str], start: int) -> tuple[str, int]:
    """Return the number that begins at a word, in digits, and the place after it."""
    word, following = words[start], _at(words, start + 1)
    if word in _FRACTIONS:
        return _FRACTIONS[word], start + 1
    if word in {"a", "one"} and following in _FRACTIONS:
        return _FRACTIONS[following], start + 2
    if word[0] in DIGITS:
        return _in_thousands(word, words, start + 1)
    if word == "a" and following in LARGE:
        value, after = _cardinal(("one", *words[start + 1 :]), 0)
        return str(value), start + after
    return _number_in_words(words, start)


def _number_in_words(words: Sequence[str], start: int) -> tuple[str, int]:
    """Return a number without digits, such as "two point five" or "nineteen ninety nine"."""
    value, place = _cardinal(words, start) if words[start] in SMALL else (0, start)
    decimals, after = _decimals(words, place)
    # "At this point five patients" has no decimal; "point five milligrams" has.
    if decimals and (place > start or _at(words, after) in _UNIT_WORDS):
        return f"{value}.{decimals}", after
    if place == start:
        return "", start
    second, after = _two_digits(words, place)
    if second and _at(words, after) not in _UNIT_WORDS:
        is_pressure = _at(words, after) == "over" and 0 < value < TEN
        if is_pressure or _reads_as_year(value, second):
            return f"{value}{second}", after
    return str(value), place


_UNIT_WORDS = frozenset(
    (*(unit for (unit,) in tables.UNITS.values()), *tables.UNITS_BEHIND_NUMBERS, "percent")
)


def _at(words: Sequence[str], place: int) -> str:
    return words[place] if place < len(words) else ""


def _in_thousands(number: str, words: Sequence[str], place: int) -> tuple[str, int]:
    """Return "2" and "million" as one number."""
    while (factor := LARGE.get(_at(words, place))) and "/" not in number:
        product = f"{float(number) * factor:.6f}"
        number = product.rstrip("0").rstrip(".")
        place += 1
    return number, place


def _decimals(words: Sequence[str], place: int) -> tuple[str, int]:
    """Return the digits that are spoken behind "point"."""
    if _at(words, place) != "point":
        return "", place
    digits = ""
    for word in words[place + 1 :]:
        digit = 0 if word == "oh" else ONES.get(word, 10)
        if digit >= TEN:  # decimals are spoken digit by digit
            break
        digits += str(digit)
    return digits, place + 1 + len(digits)


def _two_digits(words: Sequence[str], place: int) -> tuple[int, int]:
    """Return the number from 10 to 99 that begins at a word; 0 where there is none."""
    value = SMALL.get(_at(words, place), 0)
    if value < TEN:
        return 0, place
    ones = ONES.get(_at(words, place + 1), 0)
    if value in TENS.values() and 0 < ones < TEN:
        return value + ones, place + 2
    return value, place + 1


def _reads_as_year(first: int, second: int) -> bool:
    """Return whether two numbers are read like "nineteen ninety nine"."""
    return first in _CENTURIES and TEN <= second < HUNDRED


def _cardinal(words: Sequence[str], start: int) -> tuple[int, int]:
    """Parse a cardinal that begins with a small number, such as "two hundred and fifty"."""
    return parse_cardinal(words, start, partial(_joins, words))


def _joins(words: Sequence[str], place: int, group: int, total: int) -> bool:
    """Return whether this is the "and" of "one hundred and five"."""
    if group % HUNDRED or not (group or total):
        return False
    following = _at(words, place + 1)
    behind = place + 2 + (_at(words, place + 2) in ONES)
    return SMALL.get(following, 0) > 0 and _at(words, behind) not in LARGE


def _respell_units(words: list[str]) -> list[str]:
    """Return the words with units behind numbers and "per" in one spelling."""
    respelled: list[str] = []
    for place, word in enumerate(words):
        if word not in _RESPELLED_UNITS:
            respelled.append(word)
            continue
        before = respelled[-1] if respelled else ""
        if word in _SCALES and before == "degree":
            respelled.append("celsius" if word[0] == "c" else "fahrenheit")
        elif word == "hg" and before == "millimeter":
            respelled += ["of", "mercury"]
        elif word == "mmhg":
            respelled += ["millimeter", "of", "mercury"]
        elif before == "per" or _is_number(before):
            # "l 4 l 5" are vertebrae, no liters.
            is_label = len(word) == 1 and _is_number(_at(words, place + 1))
            respelled += (word,) if is_label else tables.UNITS_BEHIND_NUMBERS.get(word, (word,))
        else:
            respelled.append(word)
    return respelled


_SCALES = frozenset(("c", "celsius", "f", "fahrenheit"))
_RESPELLED_UNITS = frozenset((*tables.UNITS_BEHIND_NUMBERS, *_SCALES, "hg", "mmhg"))


def _is_number(word: str) -> bool:
    return word[:1].isdigit()
