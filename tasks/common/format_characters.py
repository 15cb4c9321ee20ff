"""Invisible format characters that end up in transcripts, such as the soft hyphen.

Word processors, web pages and PDF files put them into words. The contract's normaliser drops them,
but a tokenizer learns them: SentencePiece keeps a soft hyphen and makes a space of U+200B.
"""

from __future__ import annotations

FORMAT_CHARACTERS = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
"""Soft hyphen, zero-width space, non-joiner and joiner, word joiner, byte order mark."""

_DROPPED = dict.fromkeys(map(ord, FORMAT_CHARACTERS))


def list_format_characters(text: str) -> list[str]:
    """Return the format characters of a text as code points, each once."""
    if text.isascii():
        return []
    return [f"U+{ord(char):04X}" for char in FORMAT_CHARACTERS if char in text]


def drop_format_characters(text: str) -> str:
    """Return a text without its format characters."""
    return text if text.isascii() else text.translate(_DROPPED)
