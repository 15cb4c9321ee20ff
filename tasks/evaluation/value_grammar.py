"""The grammar of the strict view: how critical items are read from a text's words.

Each rule looks at the words from one place on. It returns the items that begin there with the place
after them, or None. The words themselves are in the table (strict_view.yaml).
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tasks.data.number_words import LARGE
from tasks.evaluation.spoken_numbers import (
    FIRST_WORDS,
    SMALL,
    SpokenNumber,
    and_a_part,
    in_digits,
    is_digits,
    read_number,
    read_ordinal,
)
from tasks.evaluation.strict_table import Entry, StrictTable, Unit, ValueKind, strict_table

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from tasks.evaluation.text_words import DividedText

UNREAD_LETTERS = 4
_SPINE = 20
_RATIO = 100
_HOURS = 24
_MINUTES = 60
_COUNTS = {"once": 1, "twice": 2, "thrice": 3}
_PERIODS = {
    "daily": "day", "weekly": "week", "monthly": "month", "yearly": "year", "nightly": "night",
    "hourly": "hour", "annually": "year",
}  # fmt: skip
_COUNTED_PERIODS = frozenset(("day", "week", "month", "year", "night"))
_ROMAN = {
    numeral: place
    for place, numeral in enumerate(
        ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"), start=1
    )
}
_NUMBERED = frozenset(
    (
        "type", "stage", "grade", "class", "phase", "factor", "nyha", "lead", "nerve", "category",
        "level", "degree",
    )
)  # fmt: skip
VOWELS = frozenset("aeiouy")
SI_PREFIXES = ("milli", "micro", "nano", "pico", "femto", "deci", "centi", "mega", "kilo")
_SILENT_SIGNS = frozenset(",'&=@:")
_COMMON_LETTERS = frozenset("aixs")
_Rule: TypeAlias = "Callable[[ValueGrammar, int], Found | None]"
_GRAMMAR_WORDS = frozenset(
    (*_COUNTS, *_NUMBERED, "every", "each", "q", "x", "times", "per", "between", "minus", "plus")
)


class Item(NamedTuple):
    """A critical item.

    Attributes:
        kind: its kind.
        text: it in one spelling: "1.5 mg".
        key: what is compared; 1 g and 1000 mg have one key.
        value: the number of a single dose, else None.
        unit: that number's unit, or "".
    """

    kind: ValueKind
    text: str
    key: Hashable
    value: Fraction | None = None
    unit: str = ""


Found: TypeAlias = "tuple[Sequence[Item], int]"
"""Items and the place after them."""


class MeasuredBy(NamedTuple):
    """A unit in a text.

    Attributes:
        unit: the unit.
        name: its name with what it is counted by: "mg/kg/hour".
        end: the place after it.
    """

    unit: Unit
    name: str
    end: int


class ValueGrammar:
    """The words of one text, and the rules that read them."""

    def __init__(self, text: DividedText) -> None:
        self.table: StrictTable = strict_table()
        self.words, self.joined, self.written = text
        self.count = len(self.words)
        self._numbers: dict[int, SpokenNumber | None] = {}

    def _read_number(self, place: int) -> SpokenNumber | None:
        """Return the number at a place; several rules ask for the same."""
        if place not in self._numbers:
            self._numbers[place] = read_number(self.words, place)
        return self._numbers[place]

    def is_joined(self, place: int) -> bool:
        """Return whether a word follows the one before it without a space."""
        return self.joined is not None and place < self.count and self.joined[place]

    def word(self, place: int) -> str:
        """Return the word at a place, or "" beyond the text."""
        return self.words[place] if 0 <= place < self.count else ""

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
            return [_unread(word)], place + 1
        if not word.isalnum() and self._strange_sign(place):
            return [_unread(word)], place + 1
        return None

    def ends_within(self, end: int) -> bool:
        """Return whether a phrase would end within a word such as "b12"."""
        return self.is_joined(end) and self.word(end)[0].isalnum() and self.words[end - 1].isalnum()

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

    # Frequencies

    def every(self, place: int) -> Found | None:
        """Read "every 8 hours", "q8h", "q 4-6 hours"."""
        word = self.words[place]
        if word not in ("every", "each", "q"):
            return None
        number = self._range(place + 1)
        if number is None:
            return None
        text, end, single = number
        unit = self._time_unit(end)
        if unit is None:
            if word != "q":
                return None
            return [_unread(f"q{text}")], end
        name, end = unit
        if single == 1:
            return self._period_item(name), end
        return [_frequency(f"every {text} {name}")], end

    def _period_item(self, name: str) -> Sequence[Item]:
        if name in _COUNTED_PERIODS:
            return [_frequency(f"1 per {name}")]
        return [_frequency(f"every 1 {name}")]

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

    def counted(self, place: int) -> Found | None:  # noqa: PLR0911 - one return a form
        """Read "twice a day", "3 times daily", "3x", "x 3", "8 hourly"."""
        word = self.words[place]
        if word in _COUNTS:
            return self._times(str(_COUNTS[word]), place + 1)
        if word in ("x", "times"):
            return self._counted_after(place)
        number = self._range(place)
        if number is None:
            return None
        text, end, _ = number
        after = self.word(end)
        if after == "hourly":
            return [_frequency(f"every {text} hour")], end + 1
        if after in ("times", "time"):
            return self._times(text, end + 1)
        # "2 x 3 cm" is no count.
        if after == "x" and self._read_number(end + 1) is None:
            return self._times(text, end + 1)
        return None

    def _counted_after(self, place: int) -> Found | None:
        """Read "x 3"; of "x 3 days" the number is read as a length of time."""
        number = self._range(place + 1)
        if number is None:
            return None
        text, end, _ = number
        if self.is_joined(end) or self._match_unit(end) is not None:
            return [], place + 1
        return self._times(text, end)

    def _times(self, count: str, end: int) -> Found:
        """Return a count with the period that follows it, if one does."""
        period = self._period(end)
        if period is not None:
            return [_frequency(f"{count} per {period[0]}")], period[1]
        if count == "1" and self.word(end) in ("every", "each", "q", "at", "in", "on"):
            # "once every 8 hours": the interval says it.
            items, stop = self.items_at(end)
            if items and items[0].kind is ValueKind.FREQUENCY:
                return items, stop
        return [_frequency(f"{count} times")], end

    def _period(self, place: int) -> tuple[str, int] | None:
        """Return the period of "a day", "per week", "daily"."""
        word = self.word(place)
        if word in _PERIODS:
            return _PERIODS[word], place + 1
        if word in ("a", "an", "per", "each", "every", "/", "in"):
            place += 1
            if word == "in" and self.word(place) in ("a", "one", "the"):
                place += 1
        elif word not in ("day", "week", "d"):
            return None
        if place >= self.count:
            return None
        unit = self._time_unit(place)
        if unit is None or (word == "in" and unit[0] not in _COUNTED_PERIODS):
            return None
        return unit

    # Names that hold numbers

    def roman(self, place: int) -> Found | None:
        """Read "type II" and "stage iv", where the numeral is a number."""
        if self.words[place] not in _NUMBERED:
            return None
        value = _ROMAN.get(self.word(place + 1))
        if value is None or self.is_joined(place + 2):
            return None
        return [_number(str(value), ("number", "", str(value), False))], place + 2

    def name_with_digits(self, place: int) -> Found | None:
        """Read "B12", "HbA1c" and "T4": letters joined to digits are a name."""
        if not self.words[place].isalpha():
            return None
        if tuple(self.words[place : place + 3]) in (("a", "one", "c"), ("a", "1", "c")):
            return [_number("a1c", "a1c")], place + 3
        end = place + 1
        while self.is_joined(end) and self.words[end].isalnum():
            end += 1
        if end == place + 1:
            return None
        if self.word(end) == "-" and self.is_joined(end) and self.is_joined(end + 1):
            end += 2  # "L4-5"
        name = "".join(self.words[place:end])
        return [_number(name, name)], end

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
        if number.end < self.count and (
            self.is_joined(number.end)
            or self.table.units.match(self.words, number.end) is not None
            or self.word(number.end) in ("/", "point", "over")
        ):
            return None
        name = f"{word}{in_digits(number.value)}"
        return [_number(name, name)], number.end

    # Numbers and doses

    def between(self, place: int) -> Found | None:
        """Read "between 5 and 10 mg" as the range that it is."""
        if self.words[place] != "between":
            return None
        low = self._read_number(place + 1)
        if low is None or low.unread is not None:
            return None
        first = self._unit(low.end)
        end = low.end if first is None else first.end
        if self.word(end) != "and":
            return None
        high = self._read_number(end + 1)
        if high is None or high.unread is not None:
            return None
        return self._range_item("", low.value, first, "", high.value, high.end)

    def _sign(self, place: int) -> tuple[str, int]:
        """Return the sign before a number, or "", and the place of the number."""
        word = self.word(place)
        if word in ("minus", "negative"):
            return "-", place + 1
        if word == "plus":
            return "+", place + 1
        if word in ("-", "+") and not self.is_joined(place) and self.is_joined(place + 1):
            return word, place + 1
        return "", place

    def quantity(self, place: int) -> Found | None:
        """Read a number with its sign and its unit, a range or a ratio."""
        sign, start = self._sign(place)
        if not sign and (ordinal := self._ordinal(place)) is not None:
            return ordinal
        number = self._read_number(start)
        if number is None:
            return None
        if number.unread is not None:
            # "08:30" is half past eight.
            hour = number.unread.isdecimal() and self.word(number.end) == ":"
            clock = self._clock(place, sign, Fraction(number.unread), number.end) if hour else None
            return clock or self._unread_chain(place, number.end)
        value, end = number.value, number.end
        if self.is_joined(end) and self.word(end) == "k":
            value, end = value * 1000, end + 1
        return (
            self._clock(place, sign, value, end)
            or self._ratio(place, sign, value, end)
            or self._measured(place, sign, value, end, paired=number.paired)
        )

    def _measured(self, place: int, sign: str, value: Fraction, end: int, *, paired: bool) -> Found:
        """Return a number with its unit, or a range."""
        unit = self._unit(self._past_of(end) if value < 1 else end)
        after = end if unit is None else unit.end
        other = self._other_end(after)
        if other is not None:
            other_sign, high, stop = other
            if value == 1 and high >= _RATIO and unit is None and self._unit(stop) is None:
                return [_ratio_to(high)], stop
            return self._range_item(sign, value, unit, other_sign, high, stop)
        if unit is None:
            return self._no_unit(place, sign, value, end)
        extra = and_a_part(self.words, after)
        if extra is not None and value.denominator == 1:
            value, after = value + extra.value, extra.end
        if paired and self._is_form_ahead(after):
            # "one fifty milligram tablet" is one tablet of 50 mg, or a tablet of 150 mg.
            return [_unread(" ".join(self.words[place:after]))], after
        return self._dose(sign, value, unit, after)

    def _ordinal(self, place: int) -> Found | None:
        ordinal = read_ordinal(self.words, place)
        if ordinal is None:
            return None
        value, end = ordinal
        ending = {1: "st", 2: "nd", 3: "rd"}.get(value % 10 if value // 10 != 1 else 0, "th")
        return [_number(f"{value}{ending}", ("ordinal", value))], end

    def _past_of(self, place: int) -> int:
        """Return the place after the "of a" in "half of a tablet", if a unit follows."""
        end = place
        if self.word(end) == "of":
            end += 1
        if self.word(end) in ("a", "an", "the", "one"):
            end += 1
        if end < self.count and self.table.units.match(self.words, end) is not None:
            return end
        return place

    def _clock(self, place: int, sign: str, value: Fraction, end: int) -> Found | None:
        """Read "8:30" and "1:1000"."""
        if self.word(end) != ":" or not self.is_joined(end) or not self.is_joined(end + 1):
            return None
        right = self.word(end + 1).replace(",", "")
        if not right.isdecimal() or sign or value.denominator != 1:
            return None
        stop = end + 2
        if self.word(stop) == ":":
            return self._unread_chain(place, stop + 2)
        if len(right) != 2 or value > _HOURS or int(right) >= _MINUTES:  # noqa: PLR2004
            ratio = value == 1
            text = f"{in_digits(value)}:{right}"
            return [_ratio_to(Fraction(right)) if ratio else _number(text, text)], stop
        half = self._match_unit(stop)
        if half is None or half[0].name not in ("am", "pm"):
            text = f"{in_digits(value)}:{right}"
            return [_number(text, text)], stop
        clock = in_digits(value) if right == "00" else f"{in_digits(value)}:{right}"
        text = f"{clock} {half[0].name}"
        return [_number(text, text)], half[1]

    def _ratio(  # noqa: PLR0911 - one return a form
        self, place: int, sign: str, value: Fraction, end: int
    ) -> Found | None:
        """Read "120/80", "120 over 80", "four out of five" and "1 in 1000"."""
        word = self.word(end)
        start = end + (2 if word == "out" else 1)
        if word not in ("/", "over", "in") and (word != "out" or self.word(end + 1) != "of"):
            return None
        below = self._read_number(start)
        if below is None:
            return None
        if word == "in":
            known = value == 1 and below.value >= _RATIO
            return ([_ratio_to(below.value)], below.end) if known else None
        # "3/4/2026" is a date in one of two orders.
        more = self.word(below.end) == "/" and is_digits(self.word(below.end + 1) or ",")
        if below.unread is not None or more:
            return self._unread_chain(place, below.end)
        unit = self._unit(below.end)
        if word == "over" and unit is not None and unit.unit.is_time:
            return None  # "100 ml over 30 minutes"
        text = f"{sign}{in_digits(value)}/{in_digits(below.value)}"
        if unit is not None:
            return [_number(f"{text} {unit.name}", f"{text} {unit.name}")], unit.end
        return [_number(text, text)], below.end

    def _other_end(self, place: int) -> tuple[str, Fraction, int] | None:
        """Return the sign, the number and its end after the "to" or the hyphen of a range."""
        word = self.word(place)
        if word == "-":
            if self.is_joined(place) != self.is_joined(place + 1):
                return None
        elif word not in ("to", "through", "thru"):
            return None
        sign, start = ("", place + 1) if word == "-" else self._sign(place + 1)
        number = self._read_number(start)
        if number is None or number.unread is not None:
            return None
        return sign, number.value, number.end

    def _range_item(
        self,
        sign: str,
        low: Fraction,
        first: MeasuredBy | None,
        other_sign: str,
        high: Fraction,
        end: int,
    ) -> Found:
        """Return a range; a unit that is said once is both numbers' unit."""
        second = self._unit(end)
        unit = second or first
        numbers = f"{sign}{in_digits(low)} to {other_sign}{in_digits(high)}"
        stop = end if second is None else second.end
        if unit is None:
            if (unread := self._unread_unit(end)) is not None:
                return [_unread(f"{numbers} {self._chain(end, unread)}")], unread
            return [_number(numbers, numbers)], stop
        if first is not None and first.name != unit.name:
            numbers = f"{sign}{in_digits(low)} {first.name} to {other_sign}{in_digits(high)}"
        text = f"{numbers} {unit.name}"
        return [_number(text, text), *self._daily(stop)[0]], self._daily(stop)[1]

    def _no_unit(self, place: int, sign: str, value: Fraction, end: int) -> Found:
        """Return a number that no known unit follows."""
        if self.is_joined(end) and self.words[end].isalnum():
            return self._unread_chain(place, end)
        word = self.word(end)
        if word in ("+", "plus") and not (
            self.word(end + 1) == "or"
            or (end + 1 < self.count and self._read_number(end + 1) is not None)
        ):
            text = f"{in_digits(value)}+"
            return [_number(text, text)], end + 1
        number = f"{sign}{in_digits(value)}"
        if self.words[place] != "one" and (unread := self._unread_unit(end)) is not None:
            return [_unread(f"{number} {self._chain(end, unread)}")], unread
        key = ("number", "", in_digits(-value if sign == "-" else value), sign == "+")
        return [Item(ValueKind.NUMBER, number, key, value)], end

    def _dose(self, sign: str, value: Fraction, unit: MeasuredBy, end: int) -> Found:
        measure, name, _ = unit
        if name in ("am", "pm") and value >= _RATIO:
            text = f"{int(value) // 100}:{int(value) % 100:02d} {name}"
            return [_number(text, text)], end
        daily, stop = self._daily(end)
        if not daily and self.word(end) == "/":
            # A rate per something that the table does not know.
            return self._unread_chain(end, end + 2, f"{sign}{in_digits(value)} {name}")
        text = f"{sign}{in_digits(value)} {name}"
        rate = name.partition("/")[2]
        amount = -value * measure.times if sign == "-" else value * measure.times
        # As text: equal fractions are slow to find equal.
        key = (measure.measures, rate, in_digits(amount), sign == "+")
        return [Item(ValueKind.NUMBER, text, key, value, name), *daily], stop

    def _daily(self, place: int) -> Found:
        """Return the frequency of "two tablets a day" and "40 mg/day"."""
        if self.word(place) in ("a", "an", "per", "/"):
            unit = self._time_unit(place + 1)
            if unit is not None and unit[0] in _COUNTED_PERIODS:
                return [_frequency(f"1 per {unit[0]}")], unit[1]
        return [], place

    def _unit(self, place: int) -> MeasuredBy | None:
        """Return the unit at a place, with what it is counted by."""
        found = self._match_unit(place)
        if found is None or self.ends_within(found[1]):
            return None
        unit, end = found
        name = unit.name
        while (word := self.word(end)) in ("/", "per", "a", "an"):
            divisor = self._match_unit(end + 1)
            if divisor is None:
                amount = self._amount(end + 1) if word in ("/", "per") else None
                return MeasuredBy(
                    unit, *((f"{name}/{amount[0]}", amount[1]) if amount else (name, end))
                )
            by, stop = divisor
            if by.name in _COUNTED_PERIODS or (word in ("a", "an") and not by.is_time):
                break
            name, end = f"{name}/{by.name}", stop
        return MeasuredBy(unit, name, end)

    def _amount(self, place: int) -> tuple[str, int] | None:
        """Return the "5 ml" of "15 mg per 5 ml" and the place after it."""
        number = self._range(place)
        by = None if number is None else self._match_unit(number[1])
        if number is None or by is None or self.ends_within(by[1]):
            return None
        return f"{number[0]} {by[0].name}", by[1]

    def _is_form_ahead(self, place: int) -> bool:
        unit = self._match_unit(place)
        return unit is not None and unit[0].is_form

    def article(self, place: int) -> Found | None:
        """Read "a hundred", "a half" and "a tablet"."""
        if self._read_number(place) is not None:
            return self.counted(place) or self.quantity(place)
        return self._one_unit(place)

    def _one_unit(self, place: int) -> Found | None:
        """Read "a tablet" and "an hour" as one of it."""
        if self.words[place] not in ("a", "an") or len(self.word(place + 1)) < 2:  # noqa: PLR2004
            return None
        unit = self._unit(place + 1)
        if unit is None or unit.unit.name in ("second", "minute", "day", "night", "am", "pm"):
            return None
        extra = and_a_part(self.words, unit.end)
        if extra is not None:
            return self._dose("", 1 + extra.value, unit, extra.end)
        return self._dose("", Fraction(1), unit, unit.end)

    def comparison(self, place: int) -> Found | None:
        """Read "over 65" and "up to 4 g", which compare only before a number."""
        found = self.table.before_numbers.match(self.words, place)
        if found is None or found[1] >= self.count:
            return None
        entry, end = found
        if self._read_number(end) is None:
            return None
        return [Item(entry.kind, entry.text, entry.text)], end

    # What is not read

    def _unread_unit(self, place: int) -> int | None:
        """Return the place after a word that looks like a unit and is none of the table's."""
        word = self.word(place)
        if not word.isalpha() or not word.isascii():
            return None
        if word in self.table.no_units or word in first_words() or word in LARGE:
            return None
        short = len(word) <= UNREAD_LETTERS or VOWELS.isdisjoint(word)
        if not short and not word.startswith(SI_PREFIXES):
            return None
        end = place + 1
        while self.word(end) == "/" and self.word(end + 1).isalpha():
            end += 2
        return end

    def _chain(self, start: int, end: int) -> str:
        return "".join(self.words[start:end])

    def _unread_chain(self, start: int, end: int, before: str = "") -> Found:
        """Return the words from a place on, with all that is joined to them, as unread."""
        end = min(end, self.count)
        while self.is_joined(end) and self.words[end] != ",":
            end += 1
        return [_unread(f"{before}{self._chain(start, end)}")], end


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
    rules |= dict.fromkeys((*_COUNTS, "x", "times"), (ValueGrammar.counted,))
    rules |= dict.fromkeys(_NUMBERED, (ValueGrammar.roman,))
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
def item_of(entry: Entry) -> Item:
    """Return the item of an entry of the table."""
    return Item(entry.kind, entry.text, entry.text)


def _unread(text: str) -> Item:
    return Item(ValueKind.UNREAD, text, text)


def _number(text: str, key: Hashable) -> Item:
    return Item(ValueKind.NUMBER, text, key)


def _ratio_to(parts: Fraction) -> Item:
    """Return a dilution of one in so many."""
    text = f"1:{in_digits(parts)}"
    return Item(ValueKind.NUMBER, text, text, parts, "1:n")


def _frequency(text: str) -> Item:
    return Item(ValueKind.FREQUENCY, text, text)


@cache
def second_words() -> dict[str, frozenset[str] | None]:
    """Return the words that may follow the first word of an item; None where none must."""
    table = strict_table()
    seconds: dict[str, set[str]] = {}
    alone = set(first_words()) - set(table.phrases.first_words()) - {"a", "an", "between"}
    alone |= set(rules_by_word()) - {"a", "an", "between"}
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


@cache
def first_words() -> frozenset[str]:
    """Return the words with which an item may begin."""
    table = strict_table()
    bare = (words[0] for words, unit in table.units if unit.bare)
    return frozenset(
        (
            *FIRST_WORDS,
            *_GRAMMAR_WORDS,
            *table.phrases.first_words(),
            *table.before_numbers.first_words(),
            *table.capitals_in_small_letters,
            *table.abbreviations,
            *bare,
            *"bcdefghjklmnoprstuvwyz",
        )
    )
