"""The critical items of a text: what the strict view must not take for something else.

"1.5 mg" and "15 mg" are one string to the normaliser, and one letter of many to CER. Here a text is
read for doses, rates, frequencies, routes, sides, negations and signs by a small grammar. Its words
are in strict_view.yaml. Spelling is free: "one point five milligrams", "1.5 mg" and "1.5mg" are the
same dose. What the grammar cannot read is an item of its own, which agrees with itself alone.
English only, as the bases are.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tasks.evaluation.spoken_numbers import (
    FIRST_WORDS,
    LARGE,
    SMALL,
    SpokenNumber,
    and_a_part,
    in_digits,
    is_digits,
    read_number,
    read_ordinal,
)
from tasks.evaluation.strict_table import (
    Entry,
    StrictTable,
    Unit,
    ValueKind,
    find_words,
    plain,
    points_out,
    strict_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

_KEPT_TEXTS = 1 << 10
_KEPT_NUMBERS = 1 << 15
_UNREAD_LETTERS = 4
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
    for place, numeral in enumerate(["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"], start=1)
}
_NUMBERED = frozenset(
    ["type", "stage", "grade", "class", "phase", "factor", "nyha", "lead", "nerve", "category", "level", "degree"]
)
_VOWELS = frozenset("aeiouy")
_NUMBERS: dict[tuple[str, ...], tuple[Sequence[Item | str], int]] = {}
"""Numbers that were read, by their words: the items and the count of the words."""
_SI_PREFIXES = ("milli", "micro", "nano", "pico", "femto", "deci", "centi", "mega", "kilo")
_PUNCTUATION = frozenset(".,;!?()[]{}\"'`|…“”„«»")
_COMMON_LETTERS = frozenset("aixs")
_NO_PREFIX = frozenset(["none", "nonetheless", "nonsense", "nonstop", "nonplussed"])
_Rule: TypeAlias = "Callable[[_Reader, int], tuple[Sequence[Item], int] | None]"
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


class Reading(NamedTuple):
    """A text as it was read.

    Attributes:
        items: its critical items, in order.
        sequence: its items and its other words, in order.
        words: its other words.
        acronyms: those of its other words that are written with two capitals, in small letters.
    """

    items: tuple[Item, ...]
    sequence: tuple[Item | str, ...]
    words: tuple[str, ...]
    acronyms: frozenset[str] = frozenset()


def critical(text: str) -> tuple[Item, ...]:
    """Return the critical items of a text as it was written, in order."""
    return read(text).items


@lru_cache(maxsize=_KEPT_TEXTS)
def read(text: str) -> Reading:
    """Read a text as it was written."""
    table = strict_table()
    lowered = text.lower()
    # Most hypotheses are nothing but words, which need no pattern to be told apart.
    letters = lowered.rstrip(" .?!")
    if letters.isascii() and letters.replace(" ", "").isalpha():
        words = letters.split()
        # A capital at the beginning of a word says nothing; "L knee" begins with an abbreviation.
        written = None if text[1:].islower() and text[1:2] != " " else text.rstrip(" .?!").split()
        starts = _starts(words) if "non" not in letters else range(len(words))
        if not starts:
            plain_words = tuple(words)
            return Reading((), plain_words, plain_words, _acronyms(written))
        return _Reader(table, words, None, written).read(starts)
    return _Reader(table, *_divide(plain(text))).read()


def _acronyms(written: list[str] | None) -> frozenset[str]:
    """Return the words that are written with two capitals, unless the whole text is."""
    if written is None or "".join(written).isupper():
        return frozenset()
    return frozenset(
        word.strip(".?!").lower()
        for word in written
        if not word[1:].islower() and sum(map(str.isupper, word)) > 1
    )


def _starts(words: list[str]) -> list[int]:
    """Return the places at which an item may begin in a text of nothing but words."""
    seconds = _second_words()
    last = len(words) - 1
    return [
        place
        for place, word in enumerate(words)
        if (second := seconds.get(word, False)) is not False
        and (second is None or (place < last and words[place + 1] in second))
    ]


@cache
def _simple() -> dict[str, Item]:
    """Return the words that are an item whatever follows them."""
    table = strict_table()
    followed = {words[0] for words, _ in table.phrases if len(words) > 1}
    ruled = {*_rules(), *table.abbreviations, *table.capitals_in_small_letters}
    return {
        words[0]: _item(entry)
        for words, entry in table.phrases
        if entry is not None
        and len(words) == 1
        and len(words[0]) > 1
        and words[0] not in followed
        and words[0] not in ruled
    }


@cache
def _item(entry: Entry) -> Item:
    return Item(entry.kind, entry.text, entry.text)


@lru_cache(maxsize=_KEPT_NUMBERS)
def _as_end(word: str) -> str:
    """Return the word after a number, or "?" where all such words mean the same for it."""
    long = len(word) > _UNREAD_LETTERS and not _VOWELS.isdisjoint(word)
    plain_word = long and not word.startswith(_SI_PREFIXES) and word not in _first_words()
    return "?" if plain_word else word


@cache
def _second_words() -> dict[str, frozenset[str] | None]:
    """Return the words that may follow the first word of an item; None where none must."""
    table = strict_table()
    seconds: dict[str, set[str]] = {}
    alone = set(_first_words()) - set(table.phrases.first_words()) - {"a", "an", "between"}
    alone |= set(_rules()) - {"a", "an", "between"}
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
def _first_words() -> frozenset[str]:
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


def _divide(text: str) -> tuple[list[str], list[bool], list[str] | None]:
    """Divide a text into words, with whether each is joined to the one before, and as written."""
    text = points_out(text)
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
        elif word.endswith("'s") and word[:-2] in _unit_words():
            word = word[:-2]  # "cc's"
        words.append(word)
        joined.append(close)
        written.append(text[start:end] if aligned else word)
    return words, joined, written


@cache
def _unit_words() -> frozenset[str]:
    return frozenset(strict_table().units.first_words())


def _is_hyphen(found: Sequence[object], place: int) -> bool:
    """Return whether a hyphen divides words: neither a range, nor a minus."""
    if not 0 < place < len(found) - 1:
        return place == len(found) - 1
    before, sign, after = found[place - 1 : place + 2]
    left = before.end() == sign.start()  # type: ignore[attr-defined]
    right = sign.end() == after.start()  # type: ignore[attr-defined]
    alphabetic = before[0][0].isalpha(), after[0][0].isalpha()  # type: ignore[index]
    if left and right:
        if alphabetic == (True, False) and place > 1 and found[place - 2].end() == before.start():  # type: ignore[attr-defined]
            return not is_digits(found[place - 2][0])  # type: ignore[index]
        return any(alphabetic)
    return alphabetic[1]


class _Reader:
    """The words of one text, and the rules that read them."""

    def __init__(
        self,
        table: StrictTable,
        words: list[str],
        joined: list[bool] | None,
        written: list[str] | None,
    ) -> None:
        self.table = table
        self.words = words
        self.joined = joined
        # Where everything is in capitals, capitals say nothing.
        everything = written is not None and "".join(written).isupper()
        self.written = None if everything else written
        self.count = len(words)
        self._numbers: dict[int, SpokenNumber | None] = {}

    def _read_number(self, place: int) -> SpokenNumber | None:
        """Return the number at a place; several rules ask for the same."""
        if place not in self._numbers:
            self._numbers[place] = read_number(self.words, place)
        return self._numbers[place]

    def read(self, starts: Sequence[int] | None = None) -> Reading:
        """Return the items, which begin at these places or at any, and the other words."""
        words = self.words
        if starts is None:
            starts = range(self.count)
        fast, simple = self.joined is None, _simple()
        items: list[Item] = []
        sequence: list[Item | str] = []
        others: list[str] = []
        free = 0
        for place in starts:
            if place < free:
                continue
            if free < place:
                sequence.extend(words[free:place])
                others.extend(words[free:place])
            if fast and (item := simple.get(words[place])) is not None:
                items.append(item)
                sequence.append(item)
                free = place + 1
                continue
            parts, free = self._remembered(place) if fast else self._parts_at(place)
            for part in parts:
                sequence.append(part)
                if isinstance(part, Item):
                    items.append(part)
                else:
                    others.append(part)
        sequence.extend(words[free:])
        others.extend(words[free:])
        return Reading(tuple(items), tuple(sequence), tuple(others), _acronyms(self.written))

    def _remembered(self, place: int) -> tuple[Sequence[Item | str], int]:
        """Return the parts of a number at a place; a number in the same words is read once."""
        words = self.words
        if words[place] not in FIRST_WORDS:
            return self._parts_at(place)
        known = self.table.number_words
        end = place + 1
        while end < self.count and words[end] in known:
            end += 1
        after = words[end] if end < self.count else ""
        key = (*words[place:end], _as_end(after))
        if (parts := _NUMBERS.get(key)) is None:
            found, stop = self._parts_at(place)
            if len(_NUMBERS) >= _KEPT_NUMBERS:
                _NUMBERS.clear()
            if stop <= end:
                _NUMBERS[key] = found, stop - place
            return found, stop
        return parts[0], place + parts[1]

    def _parts_at(self, place: int) -> tuple[Sequence[Item | str], int]:
        """Return the items, or the word, at a place, and the place after them."""
        word = self.words[place]
        if (spelled := self._spelled(place)) is not None:
            return spelled
        found: Sequence[Item] | None = None
        end = place + 1
        if word in _first_words() or not word.isalpha():
            found, end = self._items_at(place)
        elif self._joined(place + 1):
            found, end = self._name_with_digits(place) or (None, end)
        if found is not None:
            return found, end
        if word.startswith("non") and word not in _NO_PREFIX and (non := self._non(word)):
            return (*non, word.removeprefix("non")), end
        return ((word,) if word.isalpha() or "'" in word else ()), end

    def _spelled(self, place: int) -> tuple[Sequence[Item | str], int] | None:
        """Read an abbreviation as its words, and letters apart as one word: "i n r"."""
        word = self.words[place]
        if len(word) > 1:
            if word not in self.table.abbreviations or self._cut(place + 1):
                return None
            return _expanded(word).sequence, place + 1
        end = place
        while end < self.count and len(self.words[end]) == 1 and self.words[end].isalpha():
            end += 1
        if end - place < 2 or self._cut(end):  # noqa: PLR2004 - a letter alone
            return None
        if self.table.phrases.match(self.words, place) is not None:
            return None
        letters = "".join(self.words[place:end])
        if letters in self.table.abbreviations:
            return _expanded(letters).sequence, end
        if len(letters) == 2 and (letters[0] in "ai" or letters[1] in "ai"):  # noqa: PLR2004
            return None
        return (letters,), end

    def _joined(self, place: int) -> bool:
        return self.joined is not None and place < self.count and self.joined[place]

    def _word(self, place: int) -> str:
        return self.words[place] if 0 <= place < self.count else ""

    def _items_at(self, place: int) -> tuple[Sequence[Item] | None, int]:
        """Return the items that begin at a place, and the place after them."""
        word = self.words[place]
        phrase = self.table.phrases.match(self.words, place)
        if phrase is not None and phrase[1] > place + 1 and not self._cut(phrase[1]):
            return self._entry(phrase)
        rules = _rules().get(word)
        if rules is None and (self._joined(place + 1) or not word.isalpha()):
            rules = _ANY_RULE
        for rule in rules or ():
            if (read := rule(self, place)) is not None:
                return read
        if self.written is not None and (entry := self.table.capitals.get(self.written[place])):
            return [_item(entry)], place + 1
        if phrase is not None and not self._cut(phrase[1]):
            return self._entry(phrase)
        if word.endswith("n't"):
            return [Item(ValueKind.NEGATION, "not", "not")], place + 1
        unit = self.table.units.match(self.words, place)
        if unit is not None and unit[0].bare:
            return [Item(ValueKind.NUMBER, unit[0].name, unit[0].name)], unit[1]
        if len(word) == 1 and word.isalpha() and word.isascii() and word not in _COMMON_LETTERS:
            # "hepatitis B" is not "hepatitis C".
            return [_unread(word)], place + 1
        if not word.isalnum() and self._strange_sign(place):
            return [_unread(word)], place + 1
        return None, place + 1

    def _cut(self, end: int) -> bool:
        """Return whether a phrase would end within a word such as "b12"."""
        return self._joined(end) and self._word(end)[0].isalnum() and self.words[end - 1].isalnum()

    @staticmethod
    def _entry(phrase: tuple[Entry | None, int]) -> tuple[Sequence[Item], int]:
        entry, end = phrase
        return ([] if entry is None else [_item(entry)]), end

    @staticmethod
    def _non(word: str) -> list[Item]:
        rest = word.removeprefix("non")
        return [Item(ValueKind.NEGATION, "non", "non")] if len(rest) >= _UNREAD_LETTERS else []

    def _strange_sign(self, place: int) -> bool:
        """Return whether a sign stands at a number, where nobody knows what it says of it."""
        word = self.words[place]
        if word in {",", "'", "&", "=", "@", ":", "*", "/", "#"} and word not in {"*", "#", "/"}:
            return False
        before, after = self._word(place - 1), self._word(place + 1)
        return any(near and (is_digits(near) or near in SMALL) for near in (before, after))

    # Frequencies

    def _every(self, place: int) -> tuple[Sequence[Item], int] | None:
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
        if self._word(end) in ("to", "-", "or"):
            other = self._read_number(end + 1)
            if other is not None and other.unread is None:
                return f"{text}-{in_digits(other.value)}", other.end, None
        return text, end, number.value

    def _time_unit(self, place: int) -> tuple[str, int] | None:
        if place >= self.count:
            return None
        unit = self.table.units.match(self.words, place)
        return (unit[0].name, unit[1]) if unit is not None and unit[0].is_time else None

    def _counted(self, place: int) -> tuple[Sequence[Item], int] | None:
        """Read "twice a day", "3 times daily", "3x", "x 3", "8 hourly"."""
        word = self.words[place]
        if word in _COUNTS:
            text, end = str(_COUNTS[word]), place + 1
        elif word in ("x", "times"):
            number = self._range(place + 1)
            if number is None:
                return None
            text, end, _ = number
            if end < self.count and (
                self._joined(end) or self.table.units.match(self.words, end) is not None
            ):
                # "x 3 days" is a length of time; the number is read as one.
                return [], place + 1
        else:
            number = self._range(place)
            if number is None:
                return None
            text, end, _ = number
            if self._word(end) == "hourly":
                return [_frequency(f"every {text} hour")], end + 1
            if self._word(end) in ("times", "time", "x"):
                end += 1
                if self._word(end - 1) == "x" and self._read_number(end) is not None:
                    return None  # "2 x 3 cm"
            else:
                return None
        period = self._period(end)
        if period is not None:
            return [_frequency(f"{text} per {period[0]}")], period[1]
        if text == "1" and self._word(end) in ("every", "each", "q", "at", "in", "on"):
            # "once every 8 hours": the interval says it.
            following = self._items_at(end)
            if following[0] and following[0][0].kind is ValueKind.FREQUENCY:
                return following[0], following[1]
        return [_frequency(f"{text} times")], end

    def _period(self, place: int) -> tuple[str, int] | None:
        """Return the period of "a day", "per week", "daily"."""
        word = self._word(place)
        if word in _PERIODS:
            return _PERIODS[word], place + 1
        if word in ("a", "an", "per", "each", "every", "/", "in"):
            place += 1
            if word == "in" and self._word(place) in ("a", "one", "the"):
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

    def _roman(self, place: int) -> tuple[Sequence[Item], int] | None:
        """Read "type II" and "stage iv", where the numeral is a number."""
        if self.words[place] not in _NUMBERED:
            return None
        value = _ROMAN.get(self._word(place + 1))
        if value is None or self._joined(place + 2):
            return None
        return [_number(str(value), ("number", value, False))], place + 2

    def _name_with_digits(self, place: int) -> tuple[Sequence[Item], int] | None:
        """Read "B12", "HbA1c" and "T4": letters joined to digits are a name."""
        if not self.words[place].isalpha():
            return None
        if tuple(self.words[place : place + 3]) in (("a", "one", "c"), ("a", "1", "c")):
            return [_number("a1c", "a1c")], place + 3
        end = place + 1
        while self._joined(end) and self.words[end].isalnum():
            end += 1
        if end == place + 1:
            return None
        if self._word(end) == "-" and self._joined(end) and self._joined(end + 1):
            end += 2  # "L4-5"
        name = "".join(self.words[place:end])
        return [_number(name, name)], end

    def _letter_and_digit(self, place: int) -> tuple[Sequence[Item], int] | None:
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
            self._joined(number.end)
            or self.table.units.match(self.words, number.end) is not None
            or self._word(number.end) in ("/", "point", "over")
        ):
            return None
        name = f"{word}{in_digits(number.value)}"
        return [_number(name, name)], number.end

    # Numbers and doses

    def _between(self, place: int) -> tuple[Sequence[Item], int] | None:
        """Read "between 5 and 10 mg" as the range that it is."""
        if self.words[place] != "between":
            return None
        low = self._read_number(place + 1)
        if low is None or low.unread is not None:
            return None
        first = self._unit(low.end)
        end = low.end if first is None else first[2]
        if self._word(end) != "and":
            return None
        high = self._read_number(end + 1)
        if high is None or high.unread is not None:
            return None
        return self._range_item("", low.value, first, "", high.value, high.end)

    def _sign(self, place: int) -> tuple[str, int] | None:
        """Return the sign before a number and the place of the number."""
        word = self.words[place]
        if word in ("minus", "negative"):
            sign = "-"
        elif word == "plus":
            sign = "+"
        elif word in ("-", "+") and not self._joined(place) and self._joined(place + 1):
            sign = word
        else:
            return ("", place)
        return (sign, place + 1) if place + 1 < self.count else None

    def _quantity(self, place: int) -> tuple[Sequence[Item], int] | None:
        """Read a number with its sign and its unit, a range or a ratio."""
        signed = self._sign(place)
        if signed is None:
            return None
        sign, start = signed
        if not sign and (ordinal := self._ordinal(place)) is not None:
            return ordinal
        number = self._read_number(start)
        if number is None:
            return None
        if number.unread is not None:
            # "08:30" is half past eight.
            hour = number.unread.isdecimal() and self._word(number.end) == ":"
            clock = self._clock(place, sign, Fraction(number.unread), number.end) if hour else None
            return clock or self._unread_chain(place, number.end)
        value, end = number.value, number.end
        if self._joined(end) and self._word(end) == "k":
            value, end = value * 1000, end + 1
        for rule in (self._clock, self._ratio):
            if (read := rule(place, sign, value, end)) is not None:
                return read
        if value < 1:
            end = self._past_of(end)
        unit = self._unit(end)
        after = end if unit is None else unit[2]
        other = self._other_end(after)
        if other is not None:
            other_sign, other_number, stop = other
            if value == 1 and other_number >= _RATIO and unit is None and self._unit(stop) is None:
                text = f"1:{in_digits(other_number)}"
                return [_number(text, text)], stop
            return self._range_item(sign, value, unit, other_sign, other_number, stop)
        if unit is None:
            return self._no_unit(place, sign, value, end)
        extra = and_a_part(self.words, after)
        if extra is not None and value.denominator == 1:
            value, after = value + extra.value, extra.end
        if number.paired and self._is_form_ahead(after):
            # "one fifty milligram tablet" is one tablet of 50 mg, or a tablet of 150 mg.
            return [_unread(" ".join(self.words[place:after]))], after
        return self._dose(sign, value, unit, after)

    def _ordinal(self, place: int) -> tuple[Sequence[Item], int] | None:
        ordinal = read_ordinal(self.words, place)
        if ordinal is None:
            return None
        value, end = ordinal
        ending = {1: "st", 2: "nd", 3: "rd"}.get(value % 10 if value // 10 != 1 else 0, "th")
        return [_number(f"{value}{ending}", ("ordinal", value))], end

    def _past_of(self, place: int) -> int:
        """Return the place after the "of a" in "half of a tablet", if a unit follows."""
        end = place
        if self._word(end) == "of":
            end += 1
        if self._word(end) in ("a", "an", "the", "one"):
            end += 1
        if end < self.count and self.table.units.match(self.words, end) is not None:
            return end
        return place

    def _clock(
        self, place: int, sign: str, value: Fraction, end: int
    ) -> tuple[Sequence[Item], int] | None:
        """Read "8:30" and "1:1000"."""
        if self._word(end) != ":" or not self._joined(end) or not self._joined(end + 1):
            return None
        right = self._word(end + 1)
        if not right.replace(",", "").isdecimal() or sign or value.denominator != 1:
            return None
        stop = end + 2
        if self._word(stop) == ":":
            return self._unread_chain(place, stop + 2)
        if len(right) == 2 and value <= _HOURS and int(right) < _MINUTES:  # noqa: PLR2004
            half = self.table.units.match(self.words, stop) if stop < self.count else None
            if half is not None and half[0].name in ("am", "pm"):
                clock = in_digits(value) if right == "00" else f"{in_digits(value)}:{right}"
                text = f"{clock} {half[0].name}"
                return [_number(text, text)], half[1]
            text = f"{in_digits(value)}:{right}"
        else:
            text = f"{in_digits(value)}:{right.replace(',', '')}"
        return [_number(text, text)], stop

    def _ratio(
        self, place: int, sign: str, value: Fraction, end: int
    ) -> tuple[Sequence[Item], int] | None:
        """Read "120/80", "120 over 80", "four out of five" and "1 in 1000"."""
        word = self._word(end)
        if word == "in":
            below = self._read_number(end + 1)
            if value == 1 and below is not None and below.value >= _RATIO:
                text = f"1:{in_digits(below.value)}"
                return [_number(text, text)], below.end
            return None
        if word in ("/", "over"):
            start = end + 1
        elif word == "out" and self._word(end + 1) == "of":
            start = end + 2
        else:
            return None
        below = self._read_number(start)
        if below is None:
            return None
        if (
            below.unread is not None
            or (self._word(below.end) == "/"
            and is_digits(self._word(below.end + 1) or ","))
        ):
            return self._unread_chain(place, below.end)
        unit = self._unit(below.end)
        if word == "over" and unit is not None and unit[0].is_time:
            # "100 ml over 30 minutes" is no ratio.
            return None
        text = f"{sign}{in_digits(value)}/{in_digits(below.value)}"
        stop = below.end
        if unit is not None:
            text, stop = f"{text} {unit[1]}", unit[2]
        return [_number(text, text)], stop

    def _other_end(self, place: int) -> tuple[str, Fraction, int] | None:
        """Return the sign, the number and its end after the "to" or the hyphen of a range."""
        word = self._word(place)
        if word == "-":
            if self._joined(place) != self._joined(place + 1):
                return None
        elif word not in ("to", "through", "thru"):
            return None
        if place + 1 >= self.count:
            return None
        signed = ("", place + 1) if word == "-" else self._sign(place + 1)
        if signed is None:
            return None
        sign, start = signed
        number = self._read_number(start)
        if number is None or number.unread is not None:
            return None
        return sign, number.value, number.end

    def _range_item(
        self,
        sign: str,
        low: Fraction,
        first: tuple[Unit, str, int] | None,
        other_sign: str,
        high: Fraction,
        end: int,
    ) -> tuple[Sequence[Item], int]:
        """Return a range; a unit that is said once is both numbers' unit."""
        second = self._unit(end)
        unit = second or first
        numbers = f"{sign}{in_digits(low)} to {other_sign}{in_digits(high)}"
        stop = end if second is None else second[2]
        if unit is None:
            if (unread := self._unread_unit(end)) is not None:
                return [_unread(f"{numbers} {self._chain(end, unread)}")], unread
            return [_number(numbers, numbers)], stop
        if first is not None and first[1] != unit[1]:
            numbers = f"{sign}{in_digits(low)} {first[1]} to {other_sign}{in_digits(high)}"
        text = f"{numbers} {unit[1]}"
        return [_number(text, text), *self._daily(stop)[0]], self._daily(stop)[1]

    def _no_unit(
        self, place: int, sign: str, value: Fraction, end: int
    ) -> tuple[Sequence[Item], int]:
        """Return a number that no known unit follows."""
        if self._joined(end) and self.words[end].isalnum():
            return self._unread_chain(place, end)
        word = self._word(end)
        if word in ("+", "plus") and not (
            self._word(end + 1) == "or"
            or (end + 1 < self.count
            and self._read_number(end + 1) is not None)
        ):
            text = f"{in_digits(value)}+"
            return [_number(text, text)], end + 1
        number = f"{sign}{in_digits(value)}"
        if self.words[place] != "one" and (unread := self._unread_unit(end)) is not None:
            return [_unread(f"{number} {self._chain(end, unread)}")], unread
        key = ("number", -value if sign == "-" else value, sign == "+")
        return [Item(ValueKind.NUMBER, number, key, value)], end

    def _dose(
        self, sign: str, value: Fraction, unit: tuple[Unit, str, int], end: int
    ) -> tuple[Sequence[Item], int]:
        measure, name, _ = unit
        if name in ("am", "pm") and value >= _RATIO:
            text = f"{int(value) // 100}:{int(value) % 100:02d} {name}"
            return [_number(text, text)], end
        daily, stop = self._daily(end)
        if not daily and self._word(end) == "/":
            # A rate per something that the table does not know.
            return self._unread_chain(end, end + 2, f"{sign}{in_digits(value)} {name}")
        text = f"{sign}{in_digits(value)} {name}"
        rate = name.partition("/")[2]
        amount = -value * measure.times if sign == "-" else value * measure.times
        key = (measure.measures, rate, amount, sign == "+")
        return [Item(ValueKind.NUMBER, text, key, value, name), *daily], stop

    def _daily(self, place: int) -> tuple[Sequence[Item], int]:
        """Return the frequency of "two tablets a day" and "40 mg/day"."""
        if self._word(place) in ("a", "an", "per", "/"):
            unit = self._time_unit(place + 1)
            if unit is not None and unit[0] in _COUNTED_PERIODS:
                return [_frequency(f"1 per {unit[0]}")], unit[1]
        return [], place

    def _unit(self, place: int) -> tuple[Unit, str, int] | None:
        """Return the unit at a place, its name with what it is counted by, and the place after it."""
        if place >= self.count or self.words[place] == ",":
            return None
        found = self.table.units.match(self.words, place)
        if found is None or self._cut(found[1]):
            return None
        unit, end = found
        name = unit.name
        while self._word(end) in ("/", "per", "a", "an"):
            divisor = self.table.units.match(self.words, end + 1) if end + 1 < self.count else None
            if divisor is None:
                if self._word(end) in ("/", "per"):
                    number = self._range(end + 1)
                    if number is not None and number[1] < self.count:
                        by_number = self.table.units.match(self.words, number[1])
                        if by_number is not None and not self._cut(by_number[1]):
                            name = f"{name}/{number[0]} {by_number[0].name}"
                            return unit, name, by_number[1]
                break
            by, stop = divisor
            if by.name in _COUNTED_PERIODS or (self._word(end) in ("a", "an") and not by.is_time):
                break
            name, end = f"{name}/{by.name}", stop
        return unit, name, end

    def _is_form_ahead(self, place: int) -> bool:
        if place >= self.count:
            return False
        unit = self.table.units.match(self.words, place)
        return unit is not None and unit[0].is_form

    def _article(self, place: int) -> tuple[Sequence[Item], int] | None:
        """Read "a hundred", "a half" and "a tablet"."""
        if self._read_number(place) is not None:
            return self._counted(place) or self._quantity(place)
        return self._one_unit(place)

    def _one_unit(self, place: int) -> tuple[Sequence[Item], int] | None:
        """Read "a tablet" and "an hour" as one of it."""
        if self.words[place] not in ("a", "an") or len(self._word(place + 1)) < 2:  # noqa: PLR2004
            return None
        unit = self._unit(place + 1)
        if unit is None or unit[0].name in ("second", "minute", "day", "night", "am", "pm"):
            return None
        extra = and_a_part(self.words, unit[2])
        if extra is not None:
            return self._dose("", 1 + extra.value, unit, extra.end)
        return self._dose("", Fraction(1), unit, unit[2])

    def _comparison(self, place: int) -> tuple[Sequence[Item], int] | None:
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
        word = self._word(place)
        if not word.isalpha() or not word.isascii():
            return None
        if word in self.table.no_units or word in _first_words() or word in LARGE:
            return None
        short = len(word) <= _UNREAD_LETTERS or _VOWELS.isdisjoint(word)
        if not short and not word.startswith(_SI_PREFIXES):
            return None
        end = place + 1
        while self._word(end) == "/" and self._word(end + 1).isalpha():
            end += 2
        return end

    def _chain(self, start: int, end: int) -> str:
        return "".join(self.words[start:end])

    def _unread_chain(self, start: int, end: int, before: str = "") -> tuple[Sequence[Item], int]:
        """Return the words from a place on, with all that is joined to them, as unread."""
        end = min(end, self.count)
        while self._joined(end) and self.words[end] != ",":
            end += 1
        return [_unread(f"{before}{self._chain(start, end)}")], end


_ANY_RULE = (
    _Reader._counted,
    _Reader._name_with_digits,
    _Reader._letter_and_digit,
    _Reader._quantity,
    _Reader._comparison,
)


@cache
def _expanded(abbreviation: str) -> Reading:
    """Return the reading of the words that an abbreviation stands for."""
    table = strict_table()
    return _Reader(table, list(table.abbreviations[abbreviation]), None, None).read()


@cache
def _rules() -> dict[str, tuple[_Rule, ...]]:
    """Return the rules that may apply where a word stands, by the word."""
    rules: dict[str, tuple[_Rule, ...]] = dict.fromkeys(
        FIRST_WORDS, (_Reader._counted, _Reader._quantity)
    )
    rules |= dict.fromkeys(("minus", "negative", "plus"), (_Reader._quantity,))
    rules |= dict.fromkeys((*_COUNTS, "x", "times"), (_Reader._counted,))
    rules |= dict.fromkeys(_NUMBERED, (_Reader._roman,))
    rules |= dict.fromkeys("bcdefghjklmnoprstuvwyz", (_Reader._letter_and_digit,))
    rules |= dict.fromkeys(("every", "each", "q"), (_Reader._every,))
    rules |= {"between": (_Reader._between,), "an": (_Reader._article,)}
    rules["a"] = (_Reader._name_with_digits, _Reader._article)
    for word in strict_table().before_numbers.first_words():
        if word.isalpha():
            rules[word] = (*rules.get(word, ()), _Reader._comparison)
    joined = (_Reader._name_with_digits,)
    return {word: (*found, *joined) for word, found in rules.items()}


def _unread(text: str) -> Item:
    return Item(ValueKind.UNREAD, text, text)


def _number(text: str, key: Hashable) -> Item:
    return Item(ValueKind.NUMBER, text, key)


def _frequency(text: str) -> Item:
    return Item(ValueKind.FREQUENCY, text, text)


def ambiguity(item: Item) -> str | None:
    """Return the readings of an item that has several, or None."""
    return strict_table().ambiguous.get(item.text)
