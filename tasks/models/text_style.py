"""Convert transcripts to the style in which a base model writes (issue of the preflight).

A base whose vocabulary has no capitals writes "aspirin" and would meet "Aspirin" as an unknown
symbol; training on that teaches it to write ⁇. In the training copy such differences are removed.
What carries meaning (digits, the point in 1.5, the slash in mg/dl) is never dropped: what then
cannot be spelled is an error for a person to mend.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common.format_characters import drop_format_characters

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.models.nemo_archive import NemoArchive

_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})
# Punctuation of sentences. It may be dropped where it does not stand inside a number or a word.
_SENTENCE_MARKS = frozenset(".,;:!?\"'()[]\u2026\u00bf\u00a1")
_DASHES = frozenset("-\u2010\u2011\u2012\u2013\u2014")


@dataclass(frozen=True)
class WritingStyle:
    """How a base writes.

    Attributes:
        cased: whether it can write capitals.
        punctuated: whether it can write a full stop and a comma.
        unknown_in: lists the parts of a text that it cannot spell.
        read_back: returns a text as its tokenizer gives it back; by default unchanged.
    """

    cased: bool
    punctuated: bool
    unknown_in: Callable[[str], list[str]]
    read_back: Callable[[str], str] = str

    def rewrite(self, text: str) -> str:
        """Rewrite a text in this style; leave unchanged the parts that it cannot express."""
        text = unicodedata.normalize("NFC", drop_format_characters(text)).translate(_QUOTES)
        if not self.cased:
            text = text.lower()
        text = "".join(self._rewrite_mark(text, place) for place in range(len(text)))
        return re.sub(r"\s+", " ", text).strip()

    def _rewrite_mark(self, text: str, place: int) -> str:
        char = text[place]
        if char not in _SENTENCE_MARKS and char not in _DASHES:
            return char
        if not self.unknown_in(char):
            return char
        before = text[place - 1] if place else " "
        after = text[place + 1] if place + 1 < len(text) else " "
        if char in _DASHES:
            # A range of numbers (5-10) is read as words that nobody can guess here.
            return char if before.isdigit() and after.isdigit() else " "
        if char == "'":
            return ""
        # A point or comma inside a number or an abbreviation (1.5, b.i.d) carries meaning.
        return char if before.isalnum() and after.isalnum() else ""


def style_of(archive: NemoArchive) -> WritingStyle:
    """Return the style of a base, from what its tokenizer can spell."""
    unknown_in = archive.unknown_in
    return WritingStyle(
        cased=not unknown_in("A") and not unknown_in("T"),
        punctuated=not unknown_in(".") and not unknown_in(","),
        unknown_in=unknown_in,
        read_back=archive.read_back,
    )
