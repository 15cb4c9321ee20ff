"""The only normaliser of references, hypotheses and terms (contracts, section Metrics).

It follows the contract to the letter, with one correction: a hyphen, non-breaking hyphen, figure
dash, en dash or minus sign between word characters is read as the ASCII hyphen. To the letter it
would be dropped, and "x‑ray" would become "xray". Every other text has the contract's figures.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_DROPPED = re.compile(r"[^\w\s-]")
# A combining mark belongs to the letter before it, whichever way the letter is written.
_HYPHENS = re.compile("(?<=[\\w\u0300-\u036f])[\u2010-\u2013\u2212](?=\\w)")

# Most text is ASCII, on which the same rules are one table of bytes: ten times as fast.
_BYTES = [chr(byte) for byte in range(128)]
_ASCII_DROPPED = "".join(char for char in _BYTES if _DROPPED.match(char)).encode()
_ASCII_TABLE = "".join(" " if char.isspace() else char.lower() for char in _BYTES).encode() + bytes(
    range(128, 256)
)


def normalise(text: str) -> str:
    """Normalise text: NFKD, lower case, word characters, hyphens and single spaces only.

    Combining marks that NFKD splits off are not word characters, so that accents disappear.
    """
    if text.isascii():
        plain = text.encode().translate(_ASCII_TABLE, _ASCII_DROPPED).decode()
        if "  " not in plain and plain[:1] != " " and plain[-1:] != " ":
            return plain
    else:
        plain = _fold(join_hyphens(text))
    return " ".join(plain.split())


def join_hyphens(text: str) -> str:
    """Return a text with the dashes between word characters as ASCII hyphens."""
    return _HYPHENS.sub("-", text)


def to_the_letter(text: str) -> str:
    """Normalise a text without the correction of hyphens."""
    return " ".join(_fold(text).split())


def _fold(text: str) -> str:
    return _DROPPED.sub("", unicodedata.normalize("NFKD", text).lower())


@lru_cache(maxsize=1 << 16)
def normalise_term(term: str) -> str:
    """Normalise a term, cached: an evaluation has few terms and many rows of each."""
    return normalise(term)


def contains_words(text: str, phrase: str) -> bool:
    """Return whether a phrase's words stand in a text, in order and adjacent (normalised)."""
    return f" {phrase} " in f" {text} "
