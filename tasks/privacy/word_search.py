"""Search a text, or bytes, for any of many words at once: names, paths and hashes of recordings.

A list names hundreds of recordings, and a model has gigabytes. pyahocorasick looks at each
character once, however many words there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import ahocorasick

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Text = TypeVar("Text", str, bytes)


class WordSearch(Generic[Text]):
    """Finds words in texts, or byte strings in bytes."""

    def __init__(self, words: Iterable[Text]) -> None:
        self._automaton: Any = ahocorasick.Automaton()
        for word in map(_characters, words):
            if word:
                self._automaton.add_word(word, len(word))
        self._automaton.make_automaton()

    def __bool__(self) -> bool:
        """Return whether there is a word."""
        return len(self._automaton) > 0

    def is_in(self, text: Text) -> bool:
        """Return whether a text holds one of the words."""
        return next(self.find(text), None) is not None

    def find(self, text: Text) -> Iterator[tuple[int, int]]:
        """Yield where words stand in a text: begin and end of each."""
        if self:
            for last, length in self._automaton.iter(_characters(text)):
                yield last + 1 - length, last + 1


def _characters(text: str | bytes) -> str:
    """Return a text, or one that has a character for each byte."""
    return text if isinstance(text, str) else text.decode("latin-1")
