"""The words, numbers and signs of a text as the strict view reads it.

The spellings of the table and the texts are divided in the same way.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from tasks.common.format_characters import drop_format_characters

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_LIKE = str.maketrans(
    {
        **dict.fromkeys("‐‑‒–−﹣－", "-"),
        **dict.fromkeys("’‘ʼ＇", "'"),
        "—": " , ",
        "×": " x ",
        "÷": "/",
        "⁄": "/",
        "µ": "u",
        "μ": "u",
        "º": "°",
        "˚": "°",
        "～": "~",
        "∼": "~",
    }
)
_RAISED = re.compile("(?<=\\d)[⁰¹²³⁴-⁹]+")
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_POINTED = re.compile(r"(?<![\w.])([a-z](?:\.[a-z])+)(?:\.(?=\W|$)|(?![\w.]))", re.IGNORECASE)
_POINTED_DIGIT = re.compile(r"(?<![\w.])(q)\.\s?(?=\d)", re.IGNORECASE)
_PUNCTUATION = frozenset(".,;!?()[]{}\"'`|…“”„«»")
_WORD = re.compile(
    r"\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:,\d+)+(?:\.\d+)?|\d+(?:\.\d+)*|(?<!\d)\.\d+"
    r"|[a-z]+(?:'[a-z]+)?|<=|>=|\+/-|[^\s\w]|[^\W\d_a-z]+|_|\d"
)


def plain(text: str) -> str:
    """Return a text in NFKC with one sign for each dash, apostrophe and fraction."""
    if text.isascii():
        return text
    text = drop_format_characters(text).translate(_LIKE)
    # 10⁹ is not 109; after a letter, as in m², the digit stays.
    text = _RAISED.sub(lambda power: f"^{unicodedata.normalize('NFKC', power[0])}", text)
    text = _VULGAR.sub(lambda sign: f" {unicodedata.normalize('NFKC', sign[0])}", text)
    return unicodedata.normalize("NFKC", text).translate(_LIKE)


def points_out(text: str) -> str:
    """Return a text in which abbreviations have no points: "b.i.d." becomes "bid"."""
    text = _POINTED.sub(lambda found: found[1].replace(".", ""), text)
    return _POINTED_DIGIT.sub(r"\1", text)


def find_words(text: str) -> list[re.Match[str]]:
    """Return the words, numbers and signs of a text in small letters."""
    return list(_WORD.finditer(text))


def words_of(spelling: str) -> tuple[str, ...]:
    """Return the words of a table's spelling; hyphens divide words."""
    text = points_out(plain(spelling)).lower()
    text = text if spelling == "+/-" else re.sub(r"(?<=\w)-(?=\w)", " ", text)
    return tuple(found[0] for found in find_words(text))


class DividedText(NamedTuple):
    """A text divided into words, numbers and signs.

    Attributes:
        words: in small letters; a comma stands for any punctuation mark.
        joined: whether each follows the one before without a space, or None where none does.
        written: each as it was written, or None where capitals say nothing.
    """

    words: list[str]
    joined: list[bool] | None
    written: list[str] | None


def divide(text: str, units: Collection[str]) -> DividedText:
    """Divide a text as it was written.

    Args:
        text: any text.
        units: words that may have an apostrophe and an s: "cc's".
    """
    text = points_out(plain(text))
    lowered = text.lower()
    found = find_words(lowered)
    words: list[str] = []
    joined: list[bool] = []
    written: list[str] = []
    aligned = len(lowered) == len(text)
    end = -1
    for place, match in enumerate(found):
        word, start = match[0], match.start()
        close = start == end
        end = match.end()
        if word == "-" and _is_hyphen(found, place):
            end = -1
            continue
        if word in _PUNCTUATION:
            word = ","
        elif word.endswith("'s") and word[:-2] in units:
            word = word[:-2]  # "cc's"
        words.append(word)
        joined.append(close)
        written.append(text[start:end] if aligned else word)
    return DividedText(words, joined, None if text.isupper() else written)


def _is_hyphen(found: Sequence[re.Match[str]], place: int) -> bool:
    """Return whether a hyphen divides words: neither a range, nor a minus."""
    if not 0 < place < len(found) - 1:
        return place == len(found) - 1
    before, sign, after = found[place - 1 : place + 2]
    left = before.end() == sign.start()
    right = sign.end() == after.start()
    alphabetic = before[0][0].isalpha(), after[0][0].isalpha()
    if left and right:
        if alphabetic == (True, False) and place > 1:
            number = found[place - 2]  # "5mg-10mg" is a range
            return number.end() != before.start() or not number[0][-1].isdecimal()
        return any(alphabetic)
    return alphabetic[1]
