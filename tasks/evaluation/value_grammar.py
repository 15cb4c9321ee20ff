"""The grammar of the strict view: how critical items are read from a text's words.

Each rule looks at the words from one place on. It returns the items that begin there with the place
after them, or None. The words themselves are in the table (strict_view.yaml). Frequencies are read
in frequency_rules.py, numbers and doses in quantity_rules.py; here are names that hold numbers, and
which rules may apply where a word stands.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from tasks.data.number_words import LARGE
from tasks.evaluation.quantity_rules import QuantityRules
from tasks.evaluation.spoken_numbers import FIRST_WORDS, SMALL, in_digits, is_digits
from tasks.evaluation.strict_table import Entry, ValueKind, strict_table
from tasks.evaluation.value_items import COUNTS, NUMBERED, Found, Item, item_of, number_item, unread
from tasks.evaluation.word_reader import first_words_in_any_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SPINE = 20
_ROMAN = {
    numeral: place
    for place, numeral in enumerate(
        ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"), start=1
    )
}
_PARTS_OF_STAGES = frozenset("abcd")
_SILENT_SIGNS = frozenset(",'&=@:")
_COMMON_LETTERS = frozenset("aixs")
_Rule: TypeAlias = "Callable[[ValueGrammar, int], Found | None]"


class ValueGrammar(QuantityRules):
    """The words of one text, and the rules that read them."""

    def items_at(self, place: int) -> tuple[Sequence[Item] | None, int]:
        """Return the items that begin at a place, or None, and the place after them."""
        word = self.words[place]
        phrase = self.table.phrases.match(self.words, place)
        if phrase is not None and self.ends_within(phrase[1]):
            phrase = None
        if phrase is not None and phrase[1] > place + 1:
            return self._entry(phrase)
        rules = rules_by_word().get(word)
        if rules is None and (self.is_joined(place + 1) or not word.isalpha()):
            rules = _ANY_RULE
        for rule in rules or ():
            if (found := rule(self, place)) is not None:
                return found
        if self.written is not None and (entry := self.table.capitals.get(self.written[place])):
            return [item_of(entry)], place + 1
        return (self._entry(phrase) if phrase is not None else self._alone(place)) or (
            None,
            place + 1,
        )

    def _alone(self, place: int) -> Found | None:
        """Read what the table has no phrase for: "n't", a unit, a letter, a sign."""
        word = self.words[place]
        if word.endswith("n't"):
            return [Item(ValueKind.NEGATION, "not", "not")], place + 1
        unit = self.table.units.match(self.words, place)
        if unit is not None and unit[0].bare:
            return [Item(ValueKind.NUMBER, unit[0].name, unit[0].name)], unit[1]
        # "hepatitis B" is not "hepatitis C".
        letter = len(word) == 1 and word.isascii() and word.isalpha()
        if letter and word not in _COMMON_LETTERS:
            return [unread(word)], place + 1
        if not word.isalnum() and self._strange_sign(place):
            return [unread(word)], place + 1
        return None

    @staticmethod
    def _entry(phrase: tuple[Entry | None, int]) -> Found:
        entry, end = phrase
        return ([] if entry is None else [item_of(entry)]), end

    def _strange_sign(self, place: int) -> bool:
        """Return whether a sign stands at a number, where nobody knows what it says of it."""
        word = self.words[place]
        if word in _SILENT_SIGNS:
            return False
        before, after = self.word(place - 1), self.word(place + 1)
        return any(near and (is_digits(near) or near in SMALL) for near in (before, after))

    def roman(self, place: int) -> Found | None:
        """Read "type II", "stage iv" and "stage IIIA", where the numeral is a number."""
        if self.words[place] not in NUMBERED:
            return None
        word = self.word(place + 1)
        if (found := self._lettered(word, place + 1)) is not None:
            return found
        value = _ROMAN.get(word)
        if value is None or self.is_joined(place + 2):
            return None
        return [number_item(str(value), ("number", "", str(value), False))], place + 2

    def _lettered(self, word: str, place: int) -> Found | None:
        """Read "IIIA", "3A" and "three b": a number and the letter of its part."""
        letter, end = word[-1:], place + 1
        value = _ROMAN.get(word[:-1])
        if value is None or letter not in _PARTS_OF_STAGES:
            number = self._read_number(place) if word else None
            if number is None or number.unread is not None or number.value.denominator != 1:
                return None
            value, letter, end = int(number.value), self.word(number.end), number.end + 1
            # "a" may be the article: "stage three a biopsy".
            if letter not in _PARTS_OF_STAGES or (letter == "a" and not self.is_joined(end - 1)):
                return None
        if self.is_joined(end):
            return None
        return [number_item(f"{value}{letter}", f"{value}{letter}")], end

    def name_with_digits(self, place: int) -> Found | None:
        """Read "B12", "HbA1c" and "T4": letters joined to digits are a name."""
        if not self.words[place].isalpha():
            return None
        if tuple(self.words[place : place + 3]) in (("a", "one", "c"), ("a", "1", "c")):
            return [number_item("a1c", "a1c")], place + 3
        end = place + 1
        while self.is_joined(end) and self.words[end].isalnum():
            end += 1
        if end == place + 1:
            return None
        if self.word(end) == "-" and self.is_joined(end) and self.is_joined(end + 1):
            end += 2  # "L4-5"
        name = "".join(self.words[place:end])
        name = "a1c" if name == "hba1c" else name
        return [number_item(name, name)], end

    def letter_and_digit(self, place: int) -> Found | None:
        """Read "L four" and "vitamin B 12" as the names L4 and B12."""
        word = self.words[place]
        if len(word) != 1 or not word.isalpha() or word in "aixq":
            return None
        number = self._read_number(place + 1)
        if number is None or number.unread is not None or number.value.denominator != 1:
            return None
        if number.value > _SPINE and word != "u":
            return None
        again = self.word(number.end) == word and self._read_number(number.end + 1) is not None
        if (
            not again
            and number.end < self.count
            and (
                self.runs_on(number.end)
                or self.table.units.match(self.words, number.end) is not None
                or self.word(number.end) in ("/", "point", "over")
            )
        ):
            return None
        name = f"{word}{in_digits(number.value)}"
        return [number_item(name, name)], number.end


_ANY_RULE = (
    ValueGrammar.counted,
    ValueGrammar.name_with_digits,
    ValueGrammar.letter_and_digit,
    ValueGrammar.quantity,
    ValueGrammar.comparison,
)


@cache
def rules_by_word() -> dict[str, tuple[_Rule, ...]]:
    """Return the rules that may apply where a word stands, by the word."""
    rules: dict[str, tuple[_Rule, ...]] = dict.fromkeys(
        FIRST_WORDS, (ValueGrammar.counted, ValueGrammar.quantity)
    )
    rules |= dict.fromkeys(("minus", "negative", "plus"), (ValueGrammar.quantity,))
    rules |= dict.fromkeys((*COUNTS, "x", "times"), (ValueGrammar.counted,))
    rules |= dict.fromkeys(NUMBERED, (ValueGrammar.roman,))
    rules |= dict.fromkeys("bcdefghjklmnoprstuvwyz", (ValueGrammar.letter_and_digit,))
    rules |= dict.fromkeys(("every", "each", "q"), (ValueGrammar.every,))
    rules |= {"between": (ValueGrammar.between,), "an": (ValueGrammar.article,)}
    rules["a"] = (ValueGrammar.name_with_digits, ValueGrammar.article)
    for word in strict_table().before_numbers.first_words():
        if word.isalpha():
            rules[word] = (*rules.get(word, ()), ValueGrammar.comparison)
    joined = (ValueGrammar.name_with_digits,)
    return {word: (*found, *joined) for word, found in rules.items()}


@cache
def second_words(*, in_capitals: bool) -> dict[str, frozenset[str] | None]:
    """Return the words that may follow the first word of an item; None where none must.

    Args:
        in_capitals: whether one of the table's capitals stands in the text.
    """
    table = strict_table()
    seconds: dict[str, set[str]] = {}
    articles = {"a", "an", "between"}
    alone = set(first_words_in_any_letters() - set(table.phrases.first_words()) - articles)
    alone |= set(rules_by_word()) - articles
    if in_capitals:
        alone |= set(table.capitals_in_small_letters)
    for words, _ in table.phrases:
        if len(words) == 1:
            alone.add(words[0])
        else:
            seconds.setdefault(words[0], set()).add(words[1])
    numbers = {*FIRST_WORDS, *LARGE}
    units = set(table.units.first_words())
    for article in ("a", "an"):
        # A letter after "a" may be a run of letters: "a c l".
        seconds.setdefault(article, set()).update(numbers, units, "bcdefghijklmnopqrstuvwxyz")
    seconds.setdefault("between", set()).update(numbers)
    seconds.setdefault("i", set()).update("abcdefghijklmnopqrstuvwxyz")
    return dict.fromkeys(alone) | {
        word: frozenset(second) for word, second in seconds.items() if word not in alone
    }
