"""The one normaliser of references, hypotheses and terms (contracts, section Metrics)."""

from __future__ import annotations

import re
import unicodedata

_DROPPED = re.compile(r"[^\w\s-]")


def normalise(text: str) -> str:
    """NFKD, lower case, only word characters, white space and hyphens, single spaces.

    Combining marks that NFKD splits off are not word characters, so that accents disappear.
    """
    decomposed = unicodedata.normalize("NFKD", text).lower()
    return " ".join(_DROPPED.sub("", decomposed).split())


def contains_words(words: list[str], sought: list[str]) -> bool:
    """Whether ``sought`` stands in ``words`` in order and adjacent. True for no sought words."""
    width = len(sought)
    return any(words[start : start + width] == sought for start in range(len(words) - width + 1))
