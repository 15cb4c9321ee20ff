"""Check the terms of a row against its text, and say how several of them are written.

Manifests and per-row results are checked by the same rules. Each fix is made from the row, so that
who follows it is done.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from tasks.data.canonical import canonical
from tasks.data.canonical_terms import contains_term
from tasks.data.row_terms import TERMS, RowTerm, sound_terms, write_terms
from tasks.data.vocabularies import CATEGORIES, advise, find_meaning

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_BETWEEN = re.compile(r"\s*(?:[,;|/+&]|\band\b)\s*")
_FIELDS = frozenset(("term", "entity_category"))


class TermProblem(NamedTuple):
    """One thing that is wrong with a row's terms."""

    code: str
    value: object
    told: str
    fix: str


def read_terms(record: dict[str, object]) -> None:
    """Bring a record's list of terms to its own shape: a table holds it as text; empty is none."""
    value = record.get(TERMS)
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            record[TERMS] = value = json.loads(value)
        except ValueError:
            return  # reported as what it is
    if TERMS in record and not value:
        del record[TERMS]


def check_terms(record: Mapping[str, object], text: object) -> Iterable[TermProblem]:
    """Yield what is wrong with a record's list of terms, but for what stands in the text.

    Args:
        record: a row of a manifest or of results.
        text: its reference transcript.
    """
    value = record.get(TERMS)
    if value is None:
        return
    if not isinstance(value, list):
        told = f"{TERMS} must be a list of objects"
        yield TermProblem(f"bad-{TERMS}", value, told, advise_terms(record, value, text))
        return
    if others := [item for item in value if not isinstance(item, dict)]:
        told = f"each item of {TERMS} must be an object with term and entity_category"
        yield TermProblem(f"bad-{TERMS}", others[0], told, advise_terms(record, value, text))
        return
    problems = [
        problem for place, item in enumerate(value, start=1) for problem in _check_item(place, item)
    ]
    yield from problems
    terms = sound_terms(value)
    yield from _check_duplicates(terms, advise_terms(record, value, text))
    if not problems:
        yield from _check_single(record, terms)


def _check_item(place: int, item: Mapping[str, object]) -> Iterable[TermProblem]:
    term, category = item.get("term"), item.get("entity_category")
    if not isinstance(term, str) or not term.strip():
        told = f"item {place} of {TERMS} has no term"
        yield TermProblem(f"bad-{TERMS}", item, told, "give it a term, or delete the item")
    if category is None or category == "":
        name, meant = _named_otherwise(item)
        if meant is not None:
            told = f"item {place} of {TERMS} has its category under {name!r}"
            fix = f'write "entity_category": "{meant}" in its place'
            yield TermProblem(f"bad-{TERMS}", item, told, fix)
    elif not isinstance(category, str):
        told = f"entity_category of item {place} of {TERMS} must be text"
        yield TermProblem("bad-entity_category", category, told, "write one category, or null")
    elif category not in CATEGORIES:
        told = f"entity_category of item {place} of {TERMS} is not in the fixed vocabulary"
        fix = advise("entity_category", category)
        yield TermProblem("unknown-entity_category", category, told, fix)


def _check_duplicates(terms: Sequence[RowTerm], fix: str) -> Iterable[TermProblem]:
    first: dict[str, RowTerm] = {}
    for item in terms:
        words = canonical(item.term)
        if words and words in first:
            yield TermProblem(
                "duplicate-term",
                item.term,
                f"the term stands already in {TERMS}, as {first[words].term!r}; every miss would "
                "count twice",
                f"keep one of the two, even where the text holds it twice: {fix}",
            )
        first.setdefault(words, item)


def _check_single(record: Mapping[str, object], terms: Sequence[RowTerm]) -> Iterable[TermProblem]:
    """Yield where the row's single term or category says otherwise than its list."""
    term, category = record.get("term"), record.get("entity_category")
    category = category if isinstance(category, str) and category else None
    same = None
    if isinstance(term, str) and term.strip():
        same = next((item for item in terms if canonical(item.term) == canonical(term)), None)
        if same is None:
            wanted = [*terms, RowTerm(term, category if category in CATEGORIES else None)]
            yield TermProblem(
                "conflicting-term",
                term,
                f"the term is not among the row's {TERMS}, which count in its place",
                f"delete term and entity_category; where it counts too: {write_terms(wanted)}",
            )
            return
    own = {item.entity_category for item in terms} if same is None else {same.entity_category}
    if category is not None and category in CATEGORIES and category not in own:
        fix = "delete entity_category of the row, since each term has its own"
        if own == {None}:
            wanted = [
                RowTerm(item.term, category) if same in {None, item} else item for item in terms
            ]
            fix = f"give it to the terms: {write_terms(wanted)}"
        yield TermProblem(
            "conflicting-entity_category",
            category,
            f"the row's category is not that of its {TERMS}, which count in its place",
            fix,
        )


def advise_terms(record: Mapping[str, object], value: object, text: object) -> str:
    """Return how a record's several terms are written; those in its text, with their categories.

    Args:
        record: the row.
        value: what stands where the terms should: a list, an object or a text.
        text: the row's reference transcript.
    """
    terms = _meant_terms(record, value)
    if isinstance(text, str):
        terms = [item for item in terms if contains_term(text, item.term)]
    if not terms:
        return "write null"
    if len(terms) == 1:
        return f'write one term, such as "{terms[0].term}"'
    return f"in the place of term and entity_category, write {write_terms(terms)}"


def several_terms(record: Mapping[str, object], term: str, text: str) -> str | None:
    """Return the fix for a term that is several in one text; None where it is not.

    Args:
        record: the row.
        term: as it was written, such as "metoprolol, aspirin".
        text: the row's reference transcript, which must hold each of them.
    """
    parts = _parts(term)
    if len(parts) < 2 or not all(contains_term(text, part) for part in parts):  # noqa: PLR2004
        return None
    return advise_terms(record, parts, text)


def merge_terms(rows: Iterable[Sequence[RowTerm]]) -> list[RowTerm]:
    """Return the terms of several rows of one recording, each once."""
    merged: dict[str, RowTerm] = {}
    for terms in rows:
        for item in terms:
            known = merged.setdefault(canonical(item.term), item)
            if known.entity_category is None:
                merged[canonical(item.term)] = RowTerm(known.term, item.entity_category)
    return list(merged.values())


def _meant_terms(record: Mapping[str, object], value: object) -> list[RowTerm]:
    """Return what a list, an object or a text of terms means."""
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, str):
        value = _parts(value)
    if not isinstance(value, list):
        return []
    categories = record.get("entity_category")
    own = categories if isinstance(categories, list) else [categories] * len(value)
    own = own if len(own) == len(value) else [None] * len(value)
    meant = []
    for item, category in zip(value, own, strict=True):
        given = item if isinstance(item, dict) else {"term": item}
        term = given.get("term")
        if isinstance(term, str) and term.strip():
            named = _meant_category(given.get("entity_category") or category)
            meant.append(RowTerm(term.strip(), named or _named_otherwise(given)[1]))
    return merge_terms([meant])


def _meant_category(value: object) -> str | None:
    return find_meaning("entity_category", value) if isinstance(value, str) else None


def _named_otherwise(item: Mapping[str, object]) -> tuple[str, str | None]:
    """Return a field of another name that holds an item's category, and the category."""
    for name in sorted(item.keys() - _FIELDS):
        if (meant := _meant_category(item[name])) is not None:
            return name, meant
    return "", None


def _parts(text: str) -> list[str]:
    """Return the terms in a text: of a list that was written as text, or between commas."""
    if text[:1] in "[(":
        listed = [a or b for a, b in re.findall(r"'([^']+)'|\"([^\"]+)\"", text)]
        if listed:
            return listed
    return [part for part in _BETWEEN.split(text.strip("[]() ")) if part]
