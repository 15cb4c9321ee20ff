"""Search a text, or bytes, for any of many words at once: names, paths and hashes of recordings.

A list names hundreds of recordings, and a model has gigabytes. Words are grouped by their ends,
which names of recordings share, and hashes are known by their form, so that the time hardly grows
with the words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_END = 4
_HASH = 64
"""Digits of a SHA-256."""
_STEP = 16
"""Of so many bytes one is looked at; in a hash lie four of them, at least."""
_MANY_BYTES = 1 << 16

Text = TypeVar("Text", str, bytes)


class WordSearch(Generic[Text]):
    """Finds words in texts, or byte strings in bytes."""

    def __init__(self, words: Iterable[Text]) -> None:
        self._hashes: set[Text] = set()
        self._by_end: dict[Text, dict[int, set[Text]]] = {}
        for word in words:
            if _is_hash(word):
                self._hashes.add(word)
            elif word:
                lengths = self._by_end.setdefault(word[-_END:], {})
                lengths.setdefault(len(word), set()).add(word)

    def __bool__(self) -> bool:
        """Return whether there is a word."""
        return bool(self._hashes or self._by_end)

    def is_in(self, text: Text) -> bool:
        """Return whether a text holds one of the words."""
        return next(self.find(text), None) is not None

    def find(self, text: Text) -> Iterator[tuple[int, int]]:
        """Yield where words stand in a text: begin and end of each."""
        if self._hashes:
            yield from self._find_hashes(text)
        for ending, lengths in self._by_end.items():
            place = text.find(ending)
            while place >= 0:
                end = place + len(ending)
                for length, words in lengths.items():
                    if length <= end and text[end - length : end] in words:
                        yield end - length, end
                place = text.find(ending, place + 1)

    def _find_hashes(self, text: Text) -> Iterator[tuple[int, int]]:
        for start, stop in _hexadecimal(text):
            for begin in range(start, stop - _HASH + 1):
                if text[begin : begin + _HASH] in self._hashes:
                    yield begin, begin + _HASH


def _is_hash(word: str | bytes) -> bool:
    text = word if isinstance(word, str) else word.decode("latin-1")
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _hexadecimal(text: str | bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end of what may be hashes: 64 hexadecimal digits in a row, or more."""
    if isinstance(text, str):
        yield from (found.span() for found in re.finditer(r"[0-9a-f]{64,}", text))
        return
    if len(text) < _MANY_BYTES:
        yield from (found.span() for found in re.finditer(rb"[0-9a-f]{64,}", text))
        return
    # One look at every sixteenth byte is far faster than one at each.
    for sampled in re.finditer(rb"[0-9a-f]{4,}", text[::_STEP]):
        first = max(0, _STEP * (sampled.start() - 1) + 1)
        for found in re.finditer(rb"[0-9a-f]{64,}", text[first : _STEP * sampled.end()]):
            yield first + found.start(), first + found.end()
