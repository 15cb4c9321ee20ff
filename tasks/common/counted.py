"""Numbers with their nouns: "1 row" and "2 rows"."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with a regular noun, in the singular for one: ``counted(1, "row")``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
