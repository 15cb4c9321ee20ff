"""Critical items of the strict view, and what the rules that read them have in common."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tasks.evaluation.spoken_numbers import in_digits
from tasks.evaluation.strict_table import ValueKind

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from fractions import Fraction

    from tasks.evaluation.strict_table import Entry, Unit

UNREAD_LETTERS = 4
VOWELS = frozenset("aeiouy")
SI_PREFIXES = ("milli", "micro", "nano", "pico", "femto", "deci", "centi", "mega", "kilo")
COUNTS = {"once": 1, "twice": 2, "thrice": 3}
NUMBERED = frozenset(
    (
        "type", "stage", "grade", "class", "phase", "factor", "nyha", "lead", "nerve", "category",
        "level", "degree",
    )
)  # fmt: skip


class StrictFault(StrEnum):
    """The faults that are named where a reader looks first."""

    TENFOLD = "tenfold dose"
    NEGATION = "lost negation"
    ADDED_NEGATION = "added negation"
    UNIT = "swapped unit"


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


@cache
def item_of(entry: Entry) -> Item:
    """Return the item of an entry of the table."""
    return Item(entry.kind, entry.text, entry.text)


def unread(text: str) -> Item:
    """Return what cannot be read, in its spelling."""
    return Item(ValueKind.UNREAD, text, text)


def number_item(text: str, key: Hashable) -> Item:
    """Return a number that is no single dose."""
    return Item(ValueKind.NUMBER, text, key)


def ratio_to(parts: Fraction) -> Item:
    """Return a dilution of one in so many."""
    text = f"1:{in_digits(parts)}"
    return Item(ValueKind.NUMBER, text, text, parts, "1:n")


def frequency(text: str) -> Item:
    """Return how often."""
    return Item(ValueKind.FREQUENCY, text, text)
