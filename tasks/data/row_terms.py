"""The terms of a row: one, as the contract has it, or a list of them under ``terms``.

An item of the list is an object with ``term`` and ``entity_category``. Where a row has the list,
its single ``term`` and ``entity_category`` may stand beside it for other tools; they must not say
otherwise.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TERMS = "terms"
"""The field that holds the list."""


@dataclass(frozen=True, slots=True)
class RowTerm:
    """One of the clinical terms in a row's text.

    Attributes:
        term: as it was written.
        entity_category: its own; None where it has none.
    """

    term: str
    entity_category: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """Return the term as an item of ``terms``."""
        return {"term": self.term, "entity_category": self.entity_category}


def flagged_terms(
    terms: tuple[RowTerm, ...], term: str | None, entity_category: str | None
) -> tuple[RowTerm, ...]:
    """Return all terms of a row: the list where it has one, else its single term."""
    if terms:
        return terms
    return (RowTerm(term, entity_category),) if term else ()


def categories_of(terms: Sequence[RowTerm], entity_category: str | None) -> tuple[str, ...]:
    """Return the categories that a row counts for, each once, in the order of its terms.

    Args:
        terms: the list of the row; empty where it has a single term or none.
        entity_category: the row's own, which counts where there is no list.
    """
    if not terms:
        return () if entity_category is None else (entity_category,)
    return tuple(dict.fromkeys(item.entity_category for item in terms if item.entity_category))


def rarest_categories(rows: Sequence[Sequence[str]]) -> list[str | None]:
    """Return the stratum of each row: the category of its own that the fewest rows have.

    Of equally rare ones the first by name, so that the order of the rows does not matter.

    Args:
        rows: each row's categories; a row without any has no stratum.
    """
    sizes = Counter(category for categories in rows for category in set(categories))
    return [
        min(categories, key=lambda category: (sizes[category], category), default=None)
        for categories in rows
    ]


def write_terms(terms: Iterable[RowTerm]) -> str:
    """Return the field as a user may copy it into a row."""
    items = json.dumps([item.as_dict() for item in terms], ensure_ascii=False)
    return f'"{TERMS}": {items}'


def written_terms(record: Mapping[str, object]) -> list[str]:
    """Return what a record gives as its terms: those of its list, or its single term."""
    if listed := sound_terms(record.get(TERMS)):
        return [item.term for item in listed]
    return [term] if isinstance(term := record.get("term"), str) and term else []


def sound_terms(value: object) -> tuple[RowTerm, ...]:
    """Return the items of a list that was checked; anything else gives none."""
    if not isinstance(value, list):
        return ()
    return tuple(
        RowTerm(item["term"], item.get("entity_category") or None)
        for item in value
        if isinstance(item, dict) and isinstance(item.get("term"), str) and item["term"].strip()
    )
