"""The critical items of a text: what the strict view must not take for something else.

"1.5 mg" and "15 mg" are one string to the normaliser, and one letter of many to CER. Here a text is
read for doses, rates, frequencies, routes, sides, negations and signs. The grammar is in
value_grammar.py, its words are in strict_view.yaml. Spelling is free: "one point five milligrams",
"1.5 mg" and "1.5mg" are the same dose. What cannot be read is an item of its own, which agrees with
itself alone. English only, as the bases are.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tasks.evaluation.spoken_numbers import FIRST_WORDS
from tasks.evaluation.strict_table import ValueKind, strict_table
from tasks.evaluation.text_words import DividedText, divide
from tasks.evaluation.value_grammar import ValueGrammar, rules_by_word, second_words
from tasks.evaluation.value_items import SI_PREFIXES, UNREAD_LETTERS, VOWELS, Item, item_of
from tasks.evaluation.word_reader import first_words, first_words_in_any_letters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.evaluation.strict_table import Entry, Phrases

_KEPT_TEXTS = 256
_KEPT_NUMBERS = 1 << 15
_NUMBERS: dict[tuple[str, ...], tuple[Sequence[Item | str], int]] = {}
"""Numbers that were read, by their words: the items and the count of the words."""
_COUNTED_BY = ("time", "times")
_NO_PREFIX = frozenset(("none", "nonetheless", "nonsense", "nonstop", "nonplussed"))
_NON = Item(ValueKind.NEGATION, "non", "non")


class Reading(NamedTuple):
    """A text as it was read.

    Attributes:
        items: its critical items, in order.
        places: for each item, how many of the other words stand before it.
        words: its other words, in order.
        acronyms: those of its other words that are written with two capitals, in small letters.
    """

    items: tuple[Item, ...]
    places: tuple[int, ...]
    words: tuple[str, ...]
    acronyms: frozenset[str] = frozenset()

    @property
    def sequence(self) -> Iterator[Item | str]:
        """Its items and its other words, in order."""
        start = 0
        for item, place in zip(self.items, self.places, strict=True):
            yield from self.words[start:place]
            yield item
            start = place
        yield from self.words[start:]


def critical(text: str) -> tuple[Item, ...]:
    """Return the critical items of a text as it was written, in order."""
    return read(text).items


@lru_cache(maxsize=_KEPT_TEXTS)
def read(text: str) -> Reading:
    """Read a text as it was written."""
    # Most hypotheses are nothing but words, which need no pattern to be told apart.
    letters = text.lower().rstrip(" .?!")
    if not (letters.isascii() and letters.replace(" ", "").isalpha()):
        return read_in_full(text)
    words = letters.split()
    # A capital at the beginning of a word says nothing; "L knee" begins with an abbreviation.
    capitals = not (text[1:].islower() and text[1:2] != " ") and not text.isupper()
    written = text.rstrip(" .?!").split() if capitals else None
    if letters.startswith("non") or " non" in letters:
        starts: Sequence[int] = range(len(words))
    else:
        starts = _starts(words, written)
    if not starts:
        return Reading((), (), tuple(words), _acronyms(written))
    return _read_plain(DividedText(words, None, written), starts)


def _read_plain(text: DividedText, starts: Sequence[int]) -> Reading:
    """Read a text of nothing but words, whose items begin at these places only."""
    words, known, grammar = text.words, _known_words(), None
    items: list[Item] = []
    places: list[int] = []
    others: list[str] = []
    free = 0
    for start in starts:
        if start < free:
            continue
        if free < start:
            others += words[free:start]
        found = known.get(words[start])
        if found is None:
            grammar = grammar or ValueGrammar(text)
            parts, free = _remembered(grammar, start)
            _sort_out(parts, items, places, others)
        elif isinstance(found, Item):
            items.append(found)
            places.append(len(others))
            free = start + 1
        elif (phrase := found.match(words, start)) is not None:
            entry, free = phrase
            if entry is not None:
                items.append(item_of(entry))
                places.append(len(others))
        else:
            free = start
    others += words[free:]
    return Reading(tuple(items), tuple(places), tuple(others), _acronyms(text.written))


def read_in_full(text: str) -> Reading:
    """Read the words, numbers and signs of a text one by one, whatever they are.

    Of a text of nothing but words, ``read`` makes the same by a shorter road.
    """
    divided = divide(text, _unit_words())
    grammar = ValueGrammar(divided)
    items: list[Item] = []
    places: list[int] = []
    others: list[str] = []
    place = 0
    while place < grammar.count:
        parts, place = _parts_at(grammar, place)
        _sort_out(parts, items, places, others)
    return Reading(tuple(items), tuple(places), tuple(others), _acronyms(divided.written))


def _sort_out(
    parts: Sequence[Item | str], items: list[Item], places: list[int], others: list[str]
) -> None:
    """Add what was read to the items with their places, and to the other words."""
    for part in parts:
        if isinstance(part, Item):
            items.append(part)
            places.append(len(others))
        else:
            others.append(part)


def _acronyms(written: list[str] | None) -> frozenset[str]:
    """Return the words that are written with two capitals."""
    if written is None:
        return frozenset()
    return frozenset(
        word.strip(".?!").lower()
        for word in written
        if not word[1:].islower() and sum(map(str.isupper, word)) > 1
    )


def _starts(words: list[str], written: list[str] | None) -> list[int]:
    """Return the places at which an item may begin in a text of nothing but words."""
    in_capitals = written is not None and not _capitals().isdisjoint(written)
    seconds = second_words(in_capitals=in_capitals)
    last = len(words) - 1
    return [
        place
        for place, word in enumerate(words)
        if word in seconds
        and ((second := seconds[word]) is None or (place < last and words[place + 1] in second))
    ]


def forget() -> None:
    """Forget the table and what was read by it, so that another table is read."""
    _NUMBERS.clear()
    for remembered in (
        read, strict_table, first_words, first_words_in_any_letters, second_words, rules_by_word,
        item_of, _capitals, _unit_words, _known_words, _looked_past, _as_end, _expanded,
    ):  # fmt: skip
        remembered.cache_clear()


@cache
def _unit_words() -> frozenset[str]:
    return frozenset(strict_table().units.first_words())


@cache
def _capitals() -> frozenset[str]:
    return frozenset(strict_table().capitals)


@cache
def _known_words() -> dict[str, Item | Phrases[Entry | None]]:
    """Return the words of the table that need no rule in a text of nothing but words.

    Such a word is an item whatever follows it, or begins the table's phrases and nothing else.
    """
    table = strict_table()
    ruled = {*rules_by_word(), *table.abbreviations, *table.capitals_in_small_letters}
    bare = {words[0] for words, unit in table.units if unit.bare}
    followed = {words[0] for words, _ in table.phrases if len(words) > 1}
    known: dict[str, Item | Phrases[Entry | None]] = {
        word: table.phrases
        for word in table.phrases.first_words()
        if len(word) > 1 and word not in ruled and word not in bare
    }
    for words, entry in table.phrases:
        word = words[0]
        if entry is not None and len(word) > 1 and word not in followed and word not in ruled:
            known[word] = item_of(entry)
    return known


def _remembered(grammar: ValueGrammar, place: int) -> tuple[Sequence[Item | str], int]:
    """Return the parts at a place; a number in the same words is read once."""
    words = grammar.words
    if words[place] not in FIRST_WORDS:
        return _parts_at(grammar, place)
    known = grammar.table.number_words
    end = place + 1
    while end < grammar.count and words[end] in known:
        end += 1
    after = words[end] if end < grammar.count else ""
    if len(after) == 1 or after in _looked_past():
        return _parts_at(grammar, place)
    key = (*words[place:end], _as_end(after))
    if (remembered := _NUMBERS.get(key)) is not None:
        return remembered[0], place + remembered[1]
    parts, stop = _parts_at(grammar, place)
    if len(_NUMBERS) >= _KEPT_NUMBERS:
        _NUMBERS.clear()
    if stop <= end:
        _NUMBERS[key] = parts, stop - place
    return parts, stop


@cache
def _looked_past() -> frozenset[str]:
    """Return the words after a number whose meaning for it depends on what follows them."""
    return frozenset(_COUNTED_BY).union(
        *(words[1:] for words, _ in strict_table().phrases if words[0] in FIRST_WORDS)
    )


@lru_cache(maxsize=_KEPT_NUMBERS)
def _as_end(word: str) -> str:
    """Return the word after a number, or "?" where all such words mean the same for it."""
    long = len(word) > UNREAD_LETTERS and not VOWELS.isdisjoint(word)
    plain_word = long and not word.startswith(SI_PREFIXES) and word not in first_words()
    return "?" if plain_word else word


def _parts_at(grammar: ValueGrammar, place: int) -> tuple[Sequence[Item | str], int]:
    """Return the items, or the word, at a place, and the place after them."""
    word = grammar.words[place]
    if (spelled := _spelled(grammar, place)) is not None:
        return spelled
    found: Sequence[Item] | None = None
    end = place + 1
    if word in first_words() or not word.isalpha():
        found, end = grammar.items_at(place)
    elif grammar.is_joined(place + 1):
        found, end = grammar.name_with_digits(place) or (None, end)
    if found is not None:
        return found, end
    if word.startswith("non") and word not in _NO_PREFIX:
        rest = word.removeprefix("non")
        if len(rest) >= UNREAD_LETTERS:
            return (_NON, rest), end
    return ((word,) if word.isalpha() or "'" in word else ()), end


def _spelled(grammar: ValueGrammar, place: int) -> tuple[Sequence[Item | str], int] | None:
    """Read an abbreviation as its words, and letters apart as one word: "i n r"."""
    words, abbreviations = grammar.words, grammar.table.abbreviations
    if len(words[place]) > 1:
        known = words[place] in abbreviations and not grammar.ends_within(place + 1)
        return (tuple(_expanded(words[place]).sequence), place + 1) if known else None
    end = place
    while end < grammar.count and len(words[end]) == 1 and words[end].isalpha():
        end += 1
    letters = "".join(words[place:end])
    if len(letters) < 2 or grammar.ends_within(end):  # noqa: PLR2004 - a letter alone
        return None
    if letters in abbreviations:
        return tuple(_expanded(letters).sequence), end
    # "a" and "i" are words; two letters with one of them are no abbreviation.
    words_of_two = len(letters) == 2 and not {"a", "i"}.isdisjoint(letters)  # noqa: PLR2004
    if words_of_two or grammar.table.phrases.match(words, place) is not None:
        return None
    return (letters,), end


@cache
def _expanded(abbreviation: str) -> Reading:
    """Return the reading of the words that an abbreviation stands for."""
    words = list(strict_table().abbreviations[abbreviation])
    return _read_plain(DividedText(words, None, None), range(len(words)))
