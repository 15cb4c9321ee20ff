"""Rows that stand on one side of a split together: they share sound, a voice or a term.

A group's order and its rank depend on what its rows are, not on where they stand in the manifest.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNCATEGORISED = "(none)"


@dataclass(frozen=True, slots=True)
class SplitRow:
    """The fields of a row that the split needs.

    Attributes:
        row: the row's number in the manifest.
        category: its entity_category, the rarest where it has several; else ``UNCATEGORISED``.
        recording: the content hash of its audio: rows that share it stay together.
        sound: the same for all rows that hang together by overlapping spans of one source
            recording; None where a row shares sound with none of another hash.
        text: its reference transcript.
        terms: its terms, normalised.
        member_of: its voice or conversation, where the split is disjoint by that; else None.
    """

    row: int
    category: str
    recording: str
    text: str
    terms: tuple[str, ...] = ()
    member_of: str | None = None
    sound: str | None = None

    @property
    def sound_key(self) -> str:
        """What rows that share sound have in common."""
        return self.sound or self.recording


def group_rows(
    rows: Iterable[SplitRow], *, by_term: bool, whole: bool = False
) -> list[list[SplitRow]]:
    """Group rows that share sound, each group in its content's own order.

    Args:
        rows: all.
        by_term: rows that share a term are one group too.
        whole: so are rows of a voice or a conversation.
    """
    groups = _merge_groups(rows, by_term=by_term) if by_term or whole else _recordings(rows)
    for group in groups:
        if len(group) > 1:
            group.sort(key=lambda row: (row.category, row.text, row.recording))
    return groups


def _recordings(rows: Iterable[SplitRow]) -> list[list[SplitRow]]:
    groups: defaultdict[str, list[SplitRow]] = defaultdict(list)
    for row in rows:
        groups[row.sound_key].append(row)
    return list(groups.values())


def _merge_groups(rows: Iterable[SplitRow], *, by_term: bool) -> list[list[SplitRow]]:
    """Merge rows that share sound, a voice or a term: two terms of a recording are one group.

    Rows without a ``member_of`` share none.
    """
    groups: dict[str, list[SplitRow]] = {}
    for row in rows:
        existing_groups = {
            id(groups[key]): groups[key]
            for key in _group_keys(row, by_term=by_term)
            if key in groups
        }
        # Into the largest, so that a term of many rows costs no more than many terms.
        home = max(existing_groups.values(), key=len, default=[])
        home.append(row)
        moved_rows = [
            moved_row
            for group in existing_groups.values()
            if group is not home
            for moved_row in group
        ]
        home += moved_rows
        for member in (row, *moved_rows):
            groups.update(dict.fromkeys(_group_keys(member, by_term=by_term), home))
    return list({id(group): group for group in groups.values()}.values())


def _group_keys(row: SplitRow, *, by_term: bool) -> list[str]:
    """List the keys by which a row shares a group with others."""
    keys = [f"recording {row.sound_key}"]
    if row.member_of is not None:
        keys.append(f"member {row.member_of}")
    return keys + [f"term {term}" for term in row.terms if by_term]


def was_seen(group: Sequence[SplitRow], seen_before: frozenset[str]) -> bool:
    """Return whether a recording of the group is among those that the base has seen, by hash."""
    # Most bases have seen nothing, and a large manifest has many groups.
    return bool(seen_before) and any(row.recording in seen_before for row in group)


def rank_group(seed: int, group: Sequence[SplitRow]) -> str:
    """Return the group's place in a shuffled order, as a hash: another seed gives another order."""
    return hashlib.sha256(f"{seed}\n{group[0].recording}\n{group[0].text}".encode()).hexdigest()
