"""Numbers with their nouns and verbs: "1 row is" and "2 rows are"."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with a regular noun, in the singular for one: ``counted(1, "row")``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def agreed(number: int, one: str, several: str) -> str:
    """Return the verb that goes with a number: ``agreed(1, "is", "are")``."""
    return one if number == 1 else several
