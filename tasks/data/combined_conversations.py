"""Keep conversations of several cycles apart that imports have numbered alike.

An import numbers the recordings that it cut: `recording 1`, `recording 2`. So does the import of
the next month, and its `recording 1` is another one. Taken for one conversation, they would hang
together in every split by conversations.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NUMBERED = re.compile(r"recording (\d+)")
"""What an import calls a conversation that its source does not name."""


def number_apart(sources: Sequence[Iterable[tuple[str, str]]]) -> list[dict[str, str]]:
    """Return new names of numbered conversations that are another one in an earlier source.

    A conversation of recordings that an earlier source has is that one's, whatever its number is:
    a corpus that grew was imported anew.

    Args:
        sources: of each, the earliest first, for each row that names a conversation and whose
            source recording is known, (conversation, hash of the recording).

    Returns:
        For each source, new names by the names that it has; without those that stay.
    """
    read = [_recordings_of(rows) for rows in sources]
    numbers = (
        int(found[1]) for named in read for name in named if (found := NUMBERED.fullmatch(name))
    )
    highest = max(numbers, default=0)
    taken: set[str] = set()
    known: dict[str, str] = {}
    renamed = []
    for named in read:
        names: dict[str, str] = {}
        for name, recordings in named.items():
            if not NUMBERED.fullmatch(name):
                continue
            earlier = sorted({known[one] for one in recordings if one in known})
            if earlier:
                names[name] = earlier[0]
            elif name in taken:
                highest += 1
                names[name] = f"recording {highest}"
        renamed.append({old: new for old, new in names.items() if old != new})
        # Only now: within one source the numbers tell conversations apart.
        for name, recordings in named.items():
            new = names.get(name, name)
            taken.add(new)
            for one in recordings:
                known.setdefault(one, new)
    return renamed


def _recordings_of(rows: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for conversation, recording in rows:
        found[conversation].add(recording)
    return found
