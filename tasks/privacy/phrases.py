"""The words of texts that are to be removed, and whether another text has them.

Texts are compared as words without case and punctuation, since a log or a page writes them in its
own way and may cut them off. Words that a row which stays says too tell nothing, and are not
searched for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.data.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Words = tuple[str, ...]

WINDOW = 5
"""So many words in a row tell a text, wherever they stand."""
LEAST = 3
"""Shorter texts are found only where a cell or a value holds nothing else."""
_WORD = re.compile(r"[^\W_]+")


def split_words(text: str) -> Words:
    """Return a text's words without case and punctuation."""
    return tuple(_WORD.findall(text.casefold()))


def _views(text: str) -> set[Words]:
    """Return the words of a text, as it is written and in the canonical view."""
    return {split_words(text), split_words(canonical(text))} - {()}


def _windows(words: Words, size: int) -> Iterator[Words]:
    for start in range(len(words) - size + 1):
        yield words[start : start + size]


@dataclass
class PurgedPhrases:
    """Texts of purged rows; ``keep`` takes away what rows that stay say too.

    Attributes:
        whole: the texts' words.
        windows: five words in a row of a longer text; of a shorter one, all its words.
        parts: one to four words in a row, for values that hold no more.
    """

    whole: set[Words] = field(default_factory=set)
    windows: set[Words] = field(default_factory=set)
    parts: set[Words] = field(default_factory=set)
    _vocabulary: set[str] = field(default_factory=set, repr=False, compare=False)
    _sizes: tuple[int, ...] | None = field(default=None, repr=False, compare=False)

    def add(self, text: str) -> None:
        """Add a text of a purged row."""
        for words in _views(text):
            self.whole.add(words)
            if len(words) >= LEAST:
                self.windows.update(_windows(words, min(WINDOW, len(words))))
            for size in range(1, WINDOW):
                self.parts.update(_windows(words, size))
            self._vocabulary.update(words)
        self._sizes = None

    def keep(self, text: str) -> None:
        """Take away the words that a row which stays says too."""
        if self._vocabulary.isdisjoint(split_words(text)):
            return
        self._sizes = None
        for words in _views(text):
            self.whole.discard(words)
            for size in range(LEAST, WINDOW + 1):
                self.windows.difference_update(_windows(words, size))
            for size in range(1, WINDOW):
                self.parts.difference_update(_windows(words, size))

    def keep_terms(self, terms: Iterable[str]) -> None:
        """Take away the words of terms, which are the clinic's and no person's."""
        for term in terms:
            for words in _views(term):
                self.parts.discard(words)
                self.whole.discard(words)
                self.windows.discard(words)
        self._sizes = None

    def is_whole(self, text: str) -> bool:
        """Return whether a value is a purged text and nothing else."""
        return bool(self.whole) and split_words(text) in self.whole

    def is_part(self, text: str) -> bool:
        """Return whether a value is words that only a purged text has."""
        return bool(self.parts) and split_words(text) in self.parts

    def holds(self, text: str) -> bool:
        """Return whether a text holds words that tell a purged one, or is one."""
        words = split_words(text)
        return words in self.whole or self._has_window(words)

    def may_hold(self, line: str) -> bool:
        """Return whether a line of JSON may hold a purged text in one of its values.

        A line for which this is False need not be parsed.
        """
        if "\\u" in line:
            return True  # a letter that is written as its number
        words = split_words(line)
        return self._has_window(words) or any(
            short in _windows(words, len(short)) for short in self.whole if len(short) < LEAST
        )

    def _has_window(self, words: Words) -> bool:
        if self._sizes is None:
            self._sizes = tuple({len(window) for window in self.windows})
        return any(
            window in self.windows for size in self._sizes for window in _windows(words, size)
        )

    def as_dict(self) -> dict[str, list[list[str]]]:
        """Return what a journal keeps of them."""
        return {
            name: [list(words) for words in sorted(getattr(self, name))]
            for name in ("whole", "windows", "parts")
        }

    @classmethod
    def from_dict(cls, kept: dict[str, list[list[str]]]) -> PurgedPhrases:
        """Return what a journal kept."""
        whole, windows, parts = (
            {tuple(words) for words in kept[name]} for name in ("whole", "windows", "parts")
        )
        return cls(whole, windows, parts)
