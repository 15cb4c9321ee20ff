"""Distractors: names of the cycle's categories that none of its texts holds.

A list of exactly the terms that will be said makes boosting look better than it will be: a clinic's
formulary holds thousands of names, and each may be written where nobody said it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from tasks.data.canonical_terms import SpokenText, canonical_term

if TYPE_CHECKING:
    from collections.abc import Iterable

FEWEST = 1000
"""With fewer distractors a list is not called one with distractors."""
WANTED = 1200


@cache
def public_names() -> tuple[tuple[str, str], ...]:
    """Return category and name of each bundled name; the file says where they come from."""
    text = resources.files("tasks.data").joinpath("distractor_terms.tsv").read_text("utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and line[0] != "#"]
    return tuple((category, name) for category, name in rows)


def choose_distractors(
    categories: Iterable[str], texts: Iterable[str], wanted: int = WANTED
) -> tuple[str, ...]:
    """Return names of these categories that no text holds, always the same ones.

    Args:
        categories: of the cycle's terms; one without bundled names gets none.
        texts: every text that judges or chooses, general English among them.
        wanted: how many at most.
    """
    kept = frozenset(categories)
    ranked = sorted(
        (hashlib.sha256(name.encode()).hexdigest(), name)
        for category, name in public_names()
        if category in kept
    )
    said = [SpokenText(text) for text in dict.fromkeys(texts)]
    words = frozenset(word for text in said for word in text.canonical.split())
    found: list[str] = []
    for _, name in ranked:
        if len(found) == wanted:
            break
        # Only a text that holds each of its words can hold the name.
        may_be_said = words.issuperset(canonical_term(name).words.split())
        if not (may_be_said and any(text.holds(canonical_term(name)) for text in said)):
            found.append(name)
    return tuple(found)
