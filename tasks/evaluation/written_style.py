"""Punctuation and capitals of a transcript against its reference.

Reference and transcript are aligned word by word, without case and marks. Only words that were
recognised count: what a wrong word should look like, WER tells. After each of them stands a mark,
the same mark, another one, or none.

- Punctuation F1: a mark is right if the reference has the same one after the same word.
- Case accuracy: of the words that either writes with a capital, those that both write alike. A word
  that both write small says nothing: nine of ten are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARK = re.compile(r"[.,?!;:\u2026\u3002\uff0c\uff1f\u061f\u060c]")
_AFTER_A_WORD = re.compile(r"[.,?!;:\u2026\u3002\uff0c\uff1f\u061f\u060c\"'\u2019\u201d)\]]*$")
_BEFORE_A_WORD = re.compile(r"^[\"'\u2018\u201c(\[]*")


@dataclass(frozen=True, slots=True)
class StyleCounts:
    """Marks and capitals of one row, after the words that were recognised.

    Attributes:
        right: marks that stand in both.
        written: marks that the transcript writes.
        said: marks of the reference.
        capitals: words that either writes with a capital.
        alike: of these, words that both write alike.
    """

    right: int = 0
    written: int = 0
    said: int = 0
    capitals: int = 0
    alike: int = 0

    def __add__(self, other: StyleCounts) -> StyleCounts:
        return StyleCounts(
            self.right + other.right,
            self.written + other.written,
            self.said + other.said,
            self.capitals + other.capitals,
            self.alike + other.alike,
        )

    @property
    def f1(self) -> float | None:
        """Twice the marks that are right over all marks of both; None without any."""
        marks = self.written + self.said
        return 2 * self.right / marks if marks else None

    @property
    def case_accuracy(self) -> float | None:
        """Words written alike over words with a capital in either; None without any."""
        return self.alike / self.capitals if self.capitals else None


@dataclass(frozen=True, slots=True)
class _Word:
    """A word as it is written, and the mark after it; "" where there is none."""

    letters: str
    mark: str


def count_style(ref: str, hyp: str) -> StyleCounts:
    """Count the marks and capitals of one row."""
    said, written = _words(ref), _words(hyp)
    counts = StyleCounts()
    for op in Levenshtein.opcodes(_folded(said), _folded(written)):
        if op.tag == "equal":
            for old, new in zip(
                said[op.src_start : op.src_end], written[op.dest_start : op.dest_end], strict=True
            ):
                counts += _compare(old, new)
    return counts


def writes_marks(text: str) -> bool:
    """Return whether a mark stands after a word of a text."""
    return any(word.mark for word in _words(text))


def writes_capitals(text: str) -> bool:
    """Return whether a text holds a capital."""
    return any(char.isupper() for char in text)


def _compare(said: _Word, written: _Word) -> StyleCounts:
    capital = any(char.isupper() for char in said.letters + written.letters)
    return StyleCounts(
        right=int(bool(said.mark) and said.mark == written.mark),
        written=int(bool(written.mark)),
        said=int(bool(said.mark)),
        capitals=int(capital),
        alike=int(capital and said.letters == written.letters),
    )


def _words(text: str) -> list[_Word]:
    words: list[_Word] = []
    for piece in text.split():
        bare = _BEFORE_A_WORD.sub("", piece)
        tail = _AFTER_A_WORD.search(bare)
        end = len(bare) if tail is None else tail.start()
        marks = _MARK.findall(bare[end:])
        mark = "".join(dict.fromkeys(marks)) if len(marks) > 1 else "".join(marks)
        letters = bare[:end].replace("\u2019", "'")
        if letters:
            words.append(_Word(letters, mark))
        elif mark and words and not words[-1].mark:
            # Some write "word ," with a space.
            words[-1] = _Word(words[-1].letters, mark)
    return words


def _folded(words: Sequence[_Word]) -> list[str]:
    return [word.letters.casefold() for word in words]
