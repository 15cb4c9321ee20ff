"""The words of one text as the rules of the strict view look at them: place by place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING

from tasks.evaluation.spoken_numbers import FIRST_WORDS, SpokenNumber, in_digits, read_number
from tasks.evaluation.strict_table import StrictTable, Unit, strict_table
from tasks.evaluation.value_items import COUNTS, NUMBERED, Found, Item, unread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from tasks.evaluation.text_words import DividedText

_GRAMMAR_WORDS = frozenset(
    (*COUNTS, *NUMBERED, "every", "each", "q", "x", "times", "per", "between", "minus", "plus")
)


class WordReader(ABC):
    """The words of one text, its numbers and its units."""

    def __init__(self, text: DividedText) -> None:
        self.table: StrictTable = strict_table()
        self.words, self.joined, self.written = text
        self.count = len(self.words)
        self._numbers: dict[int, SpokenNumber | None] = {}

    @abstractmethod
    def items_at(self, place: int) -> tuple[Sequence[Item] | None, int]:
        """Return the items that begin at a place, or None, and the place after them."""

    def _read_number(self, place: int) -> SpokenNumber | None:
        """Return the number at a place; several rules ask for the same."""
        if place not in self._numbers:
            self._numbers[place] = read_number(self.words, place)
        return self._numbers[place]

    def is_joined(self, place: int) -> bool:
        """Return whether a word follows the one before it without a space."""
        return self.joined is not None and place < self.count and self.joined[place]

    def runs_on(self, place: int) -> bool:
        """Return whether a word or a sign, and no punctuation mark, follows without a space."""
        return self.is_joined(place) and self.words[place] != ","

    def word(self, place: int) -> str:
        """Return the word at a place, or "" beyond the text."""
        return self.words[place] if 0 <= place < self.count else ""

    def ends_within(self, end: int) -> bool:
        """Return whether a phrase would end within a word such as "b12"."""
        return self.is_joined(end) and self.word(end)[0].isalnum() and self.words[end - 1].isalnum()

    def _range(self, place: int) -> tuple[str, int, Fraction | None] | None:
        """Return a number or a range in digits, the place after it, and a single number's value."""
        number = self._read_number(place)
        if number is None or number.unread is not None:
            return None
        text, end = in_digits(number.value), number.end
        if self.word(end) in ("to", "-", "or"):
            other = self._read_number(end + 1)
            if other is not None and other.unread is None:
                return f"{text}-{in_digits(other.value)}", other.end, None
        return text, end, number.value

    def _match_unit(self, place: int) -> tuple[Unit, int] | None:
        """Return the unit at a place and the place after it."""
        return self.table.units.match(self.words, place) if place < self.count else None

    def _time_unit(self, place: int) -> tuple[str, int] | None:
        unit = self._match_unit(place)
        return (unit[0].name, unit[1]) if unit is not None and unit[0].is_time else None

    def _chain(self, start: int, end: int) -> str:
        return "".join(self.words[start:end])

    def _unread_chain(self, start: int, end: int, before: str = "") -> Found:
        """Return the words from a place on, with all that is joined to them, as unread."""
        end = min(end, self.count)
        while self.is_joined(end) and self.words[end] != ",":
            end += 1
        return [unread(f"{before}{self._chain(start, end)}")], end


@cache
def first_words() -> frozenset[str]:
    """Return the words with which an item may begin."""
    return first_words_in_any_letters() | set(strict_table().capitals_in_small_letters)


@cache
def first_words_in_any_letters() -> frozenset[str]:
    """Return those of them that begin one in small letters, too."""
    table = strict_table()
    bare = (words[0] for words, unit in table.units if unit.bare)
    return frozenset(
        (
            *FIRST_WORDS,
            *_GRAMMAR_WORDS,
            *table.phrases.first_words(),
            *table.before_numbers.first_words(),
            *table.abbreviations,
            *bare,
            *"bcdefghjklmnoprstuvwyz",
        )
    )
