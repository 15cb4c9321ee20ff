"""Name the conversation of rows that were cut from one recording, where the source names none.

Such rows share a speaker, a room and a topic; a split by conversations keeps them on one side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.data.combined_conversations import NUMBERED
from tasks.data.manifest import CONVERSATION, group_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Entries = Callable[[], Iterable[Mapping[str, Any]]]


def with_conversations(entries: Entries) -> Iterator[dict[str, Any]]:
    """Yield the manifest's lines of an import, each with its conversation where it has siblings.

    A row that names none takes the one that the other rows of its recording name. Memory grows with
    the recordings of which spans were cut, not with the rows.

    Args:
        entries: yields the journal's entries of the rows, anew at each call.
    """
    names = _name_recordings(entries)
    for entry in entries():
        record: dict[str, Any] = entry["record"]
        name = names.get(_recording(entry))
        if name is not None and group_of(record, CONVERSATION) is None:
            record = {**record, CONVERSATION: name}
        yield record


def _name_recordings(entries: Entries) -> dict[str, str]:
    """Return the conversation of each recording that several rows were cut from."""
    spans = {_recording(entry) for entry in entries() if _is_span(entry)}
    rows: dict[str, int] = {}
    named: dict[str, set[str]] = {}
    highest = 0
    for entry in entries() if spans else ():
        own = group_of(entry["record"], CONVERSATION)
        if own is not None and (match := NUMBERED.fullmatch(own)):
            highest = max(highest, int(match[1]))
        if (recording := _recording(entry)) in spans:
            rows[recording] = rows.get(recording, 0) + 1
            if own is not None:
                named.setdefault(recording, set()).add(own)
    names: dict[str, str] = {}
    for recording, count in rows.items():
        if count > 1:
            of_others = named.get(recording, set())
            if len(of_others) == 1:
                names[recording] = next(iter(of_others))
            else:
                # A number, as for rows that --cut makes: names of recordings may name patients.
                highest += 1
                names[recording] = f"recording {highest}"
    return names


def _recording(entry: Mapping[str, Any]) -> str:
    return str(entry["provenance"]["recording_sha256"])[:32]


def _is_span(entry: Mapping[str, Any]) -> bool:
    origin = entry["provenance"]
    return bool(origin["start"] > 0 or origin["end"] is not None)
