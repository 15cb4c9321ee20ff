"""Numbers, doses, ranges and ratios in the strict view, and what of them is not read."""

from __future__ import annotations

from fractions import Fraction

from tasks.data.number_words import LARGE
from tasks.evaluation.frequency_rules import COUNTED_PERIODS, FrequencyRules
from tasks.evaluation.spoken_numbers import and_a_part, in_digits, is_digits, read_ordinal
from tasks.evaluation.strict_table import ValueKind
from tasks.evaluation.value_items import (
    SI_PREFIXES,
    UNREAD_LETTERS,
    VOWELS,
    Found,
    Item,
    MeasuredBy,
    number_item,
    ratio_to,
    unread,
)
from tasks.evaluation.word_reader import first_words

_RATIO = 100
_POINTED = ("max", "approx")
"""Abbreviations of signs that may have a point."""
_HOURS = 24
_MINUTES = 60


class QuantityRules(FrequencyRules):
    """The rules that read how much."""

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
                return [ratio_to(high)], stop
            return self._range_item(sign, value, unit, other_sign, high, stop)
        if unit is None:
            return self._no_unit(place, sign, value, end)
        extra = and_a_part(self.words, after)
        if extra is not None and value.denominator == 1:
            value, after = value + extra.value, extra.end
        if paired and self._is_form_ahead(after):
            # "one fifty milligram tablet" is one tablet of 50 mg, or a tablet of 150 mg.
            return [unread(" ".join(self.words[place:after]))], after
        return self._dose(sign, value, unit, after)

    def _ordinal(self, place: int) -> Found | None:
        ordinal = read_ordinal(self.words, place)
        if ordinal is None:
            return None
        value, end = ordinal
        ending = {1: "st", 2: "nd", 3: "rd"}.get(value % 10 if value // 10 != 1 else 0, "th")
        return [number_item(f"{value}{ending}", ("ordinal", value))], end

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
            return [ratio_to(Fraction(right)) if ratio else number_item(text, text)], stop
        half = self._match_unit(stop)
        if half is None or half[0].name not in ("am", "pm"):
            text = f"{in_digits(value)}:{right}"
            return [number_item(text, text)], stop
        clock = in_digits(value) if right == "00" else f"{in_digits(value)}:{right}"
        text = f"{clock} {half[0].name}"
        return [number_item(text, text)], half[1]

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
            return ([ratio_to(below.value)], below.end) if known else None
        # "3/4/2026" is a date in one of two orders.
        more = self.word(below.end) == "/" and is_digits(self.word(below.end + 1) or ",")
        if below.unread is not None or more:
            return self._unread_chain(place, below.end)
        unit = self._unit(below.end)
        if word == "over" and unit is not None and unit.unit.is_time:
            return None  # "100 ml over 30 minutes"
        text = f"{sign}{in_digits(value)}/{in_digits(below.value)}"
        if unit is not None:
            return [number_item(f"{text} {unit.name}", f"{text} {unit.name}")], unit.end
        return [number_item(text, text)], below.end

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
            if (after := self._unread_unit(end)) is not None:
                return [unread(f"{numbers} {self._chain(end, after)}")], after
            return [number_item(numbers, numbers)], stop
        if first is not None and first.name != unit.name:
            numbers = f"{sign}{in_digits(low)} {first.name} to {other_sign}{in_digits(high)}"
        text = f"{numbers} {unit.name}"
        return [number_item(text, text), *self._daily(stop)[0]], self._daily(stop)[1]

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
            return [number_item(text, text)], end + 1
        number = f"{sign}{in_digits(value)}"
        if self.words[place] != "one" and (after := self._unread_unit(end)) is not None:
            return [unread(f"{number} {self._chain(end, after)}")], after
        key = ("number", "", in_digits(-value if sign == "-" else value), sign == "+")
        return [Item(ValueKind.NUMBER, number, key, value)], end

    def _dose(self, sign: str, value: Fraction, unit: MeasuredBy, end: int) -> Found:
        measure, name, _ = unit
        if name in ("am", "pm") and value >= _RATIO:
            text = f"{int(value) // 100}:{int(value) % 100:02d} {name}"
            return [number_item(text, text)], end
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
            if by.name in COUNTED_PERIODS or (word in ("a", "an") and not by.is_time):
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
        if self.words[end - 1] in _POINTED and self.word(end) == "," and self.is_joined(end):
            end += 1
        if self._read_number(end) is None:
            return None
        # "3 by 4 cm" has two lengths, and "by" says nothing of the second.
        if entry.text == "by" and self._is_measured(place - 1):
            return None
        return [Item(entry.kind, entry.text, entry.text)], end

    def _is_measured(self, place: int) -> bool:
        """Return whether a number, or a number's unit, ends at a place."""
        if place < 0:
            return False
        is_unit = place > 0 and self._match_unit(place) is not None
        return self._read_number(place - is_unit) is not None

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
