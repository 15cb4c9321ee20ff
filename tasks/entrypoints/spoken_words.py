"""Join a decoder's labels to words, with how sure it is of each; needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPACE = "▁"
"""SentencePiece's mark of a word's begin."""


def join_labels(pieces: Sequence[str], confidence: Sequence[float]) -> list[tuple[str, float]]:
    """Return words with the confidence of their least sure label.

    NeMo's own joining ends with an error where punctuation is a label of its own with a space
    before it, since its text then has a word less.

    Args:
        pieces: the labels as the vocabulary spells them: pieces of words whose first begins with
            SentencePiece's mark, or letters and spaces.
        confidence: one a piece, 0 to 1.
    """
    words: list[tuple[str, float]] = []
    word, least = "", 1.0
    for piece, sure in zip(pieces, confidence, strict=True):
        text = piece.removeprefix(_SPACE)
        begins = piece.startswith((_SPACE, " ")) and any(map(str.isalnum, text or _SPACE))
        if (begins or not piece.strip(" " + _SPACE)) and word:
            words.append((word, least))
            word, least = "", 1.0
        if text.strip():
            word, least = word + text.strip(), min(least, sure)
    return [*words, (word, least)] if word else words
