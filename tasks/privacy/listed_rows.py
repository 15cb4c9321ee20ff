"""Which rows the lines of a user's list mean: of every cycle, each beyond doubt.

A wrong guess erases somebody else's recording, or leaves this one. So a line that means nothing, or
two things, is an error, and all such lines are named before anything is changed.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.data.audio_paths import path_parts
from tasks.data.importers.staging import SET_APART
from tasks.data.manifest import CONVERSATION
from tasks.privacy.purge_list import AUDIO, TEXT
from tasks.privacy.purgeable_rows import PurgeableRow, provenance_of, samples_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.privacy.purge_list import ListedEntry, PurgeList

_VOICE = "voice_id"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN = 20
_SHOWN_PLACES = 4
Rows = tuple[PurgeableRow, ...]


@dataclass(frozen=True, slots=True)
class ListedRows:
    """A line and the rows that it means.

    Attributes:
        entry: the line.
        kind: what it names, for a user: recording, source recording, conversation, voice, rows.
        rows: of all manifests.
        voice: the voice, where it means all of one.
    """

    entry: ListedEntry
    kind: str
    rows: Rows
    voice: str | None = None

    def __str__(self) -> str:
        places = ", ".join(str(path) for path in sorted({row.manifest for row in self.rows}))
        said = (
            f"{self.kind}, {counted(len(self.rows), 'row')} of {places}" if self.rows else self.kind
        )
        return f"line {self.entry.line}: {self.entry.shown}: {said}"

    def as_dict(self) -> dict[str, Any]:
        """Return the line for programs."""
        rows = [{"manifest": str(row.manifest), "row": row.number} for row in self.rows]
        return {"line": self.entry.line, "kind": self.kind, "rows": rows}


class _UnclearError(Exception):
    """A line that means nothing, or more than one thing."""


def find_listed_rows(
    purge_list: PurgeList,
    rows: Sequence[PurgeableRow],
    clinic: Path,
    *,
    first: Cycle | None,
    can_be_gone: bool = False,
) -> list[ListedRows]:
    """Find the rows that each line of a list means.

    Args:
        purge_list: the user's.
        rows: of all manifests that are looked at.
        clinic: the folder of cycles; paths may be written from there on.
        first: the cycle whose recording is meant by a path or name that several cycles have; None:
            such a line is an error.
        can_be_gone: whether a line may mean nothing, since this list was purged before.

    Raises:
        InputError: lines mean nothing, or more than one thing.
    """
    names = _Names(rows, clinic, first)
    found: list[ListedRows] = []
    faults: list[str] = []
    for entry in purge_list.entries:
        try:
            meant = names.find(entry)
        except _UnclearError as unclear:
            faults.append(f"{purge_list.path}: line {entry.line}: {entry.shown}: {unclear}")
            continue
        if meant is not None:
            found.append(meant)
        elif can_be_gone:
            found.append(ListedRows(entry, "nothing of it is left", ()))
        else:
            faults.append(
                f"{purge_list.path}: line {entry.line}: {entry.shown}: no row of any cycle in "
                f"{clinic} has it. Fix: write it as a manifest does, or take the line out."
            )
    if faults:
        more = len(faults) - _SHOWN
        raise InputError(
            "\n".join(faults[:_SHOWN])
            + (f"\nand {counted(more, 'more line')}" if more > 0 else "")
            + f"\nNothing was purged: {counted(len(faults), 'line')} of "
            f"{len(purge_list.entries)} must be mended first."
        )
    return found


class _Names:
    """Finds rows by all that a line may name."""

    def __init__(self, rows: Sequence[PurgeableRow], clinic: Path, first: Cycle | None) -> None:
        self._rows, self._clinic = rows, clinic
        self._first = (
            frozenset()
            if first is None
            else frozenset((first.manifest, first.manifest.with_name(SET_APART)))
        )
        self._by_place = _index(rows, lambda row: {str(row.audio), os.path.realpath(row.audio)})
        self._by_written = _index(rows, lambda row: [row.written])
        self._by_name = _index(rows, lambda row: [path_parts(row.written)[-1]])
        self._by_stem = _index(rows, lambda row: [Path(path_parts(row.written)[-1]).stem])
        self._by_field: dict[str, dict[str, list[PurgeableRow]]] = {}
        self._sources: dict[str, set[str]] = {}  # of a row, by its identity
        self._origins = list(provenance_of(rows))
        self._by_source: defaultdict[str, list[tuple[str, PurgeableRow]]] = defaultdict(list)
        self._by_origin: defaultdict[str, list[PurgeableRow]] = defaultdict(list)
        for row, entry in self._origins:
            source = str(entry["recording"])
            origin = str(entry.get("recording_sha256") or source)
            self._by_origin[origin].append(row)
            self._sources.setdefault(_identity(row), set()).add(origin)
            name = path_parts(source)[-1]
            for written in {source, name, Path(name).stem}:
                self._by_source[_composed(written)].append((origin, row))

    @cached_property
    def _by_samples(self) -> dict[str, list[PurgeableRow]]:
        """Rows by the hashes of their samples: all recordings are read, once."""
        samples = {path: samples_of(path) or "" for path in {row.audio for row in self._rows}}
        return _index(self._rows, lambda row: [samples[row.audio]])

    def find(self, entry: ListedEntry) -> ListedRows | None:
        """Return what a line means; None where it is nothing.

        Raises:
            _UnclearError: it means several things.
        """
        if entry.name is None:
            return self._find_object(entry)
        name = entry.name
        recording, source = self._recording(name), self._source(name)
        if self._are_files_of(recording, source):
            # A manifest refers to the very file that an import has read as well.
            recording, source = _joined(recording, source), ()
        ways = {
            "recording": recording,
            "source recording": source,
            "conversation": self._with_fields({CONVERSATION: name}),
            "voice": self._with_fields({_VOICE: name}),
        }
        meant = {kind: rows for kind, rows in ways.items() if rows}
        if len({frozenset(map(_identity, rows)) for rows in meant.values()}) > 1:
            kinds = " and ".join(
                f"a {kind} ({counted(len(rows), 'row')})" for kind, rows in meant.items()
            )
            raise _UnclearError(
                f"means {kinds}. Fix: write the recording's path, or an object such as "
                f'{{"{_VOICE}": …}} or {{"{CONVERSATION}": …}}.'
            )
        if not meant:
            return None
        kind = "voice" if "voice" in meant else next(iter(meant))
        return ListedRows(entry, kind, meant[kind], name if kind == "voice" else None)

    def _find_object(self, entry: ListedEntry) -> ListedRows | None:
        fields = dict(entry.fields)
        if AUDIO in fields:
            rows = self._recording(
                str(fields[AUDIO]), str(fields[TEXT]) if TEXT in fields else None
            )
            return ListedRows(entry, "recording", rows) if rows else None
        rows = self._with_fields(fields)
        if not rows:
            return None
        is_voice = fields.keys() == {_VOICE}
        voice = str(fields[_VOICE]) if is_voice else None
        return ListedRows(entry, "voice" if is_voice else "rows", rows, voice)

    def _recording(self, name: str, text: str | None = None) -> Rows:
        """Return the rows of one recording: by its place, path, name, stem or hash."""
        place = os.path.normpath(self._clinic / name)
        exact = _get(self._by_place, place) or _get(self._by_place, os.path.realpath(place))
        others = (self._by_written, self._by_name, self._by_stem)
        ways = (exact, *(_get(index, name) for index in others))
        rows = next((found for found in ways if found), [])
        if not rows and _SHA256.fullmatch(name):
            return tuple(_get(self._by_samples, name))
        if text is not None and rows:
            rows = self._with_text(rows, text)
        return self._one_recording(rows)

    @staticmethod
    def _with_text(rows: list[PurgeableRow], text: str) -> list[PurgeableRow]:
        said = [
            row for row in rows if _composed(str(row.fields.get(TEXT, text))) == _composed(text)
        ]
        if not said:
            row = rows[0]
            raise _UnclearError(
                f"{row.manifest}, row {row.number}, has this recording with another text. Fix: "
                "write the row as the manifest has it; without the text the path alone counts."
            )
        return said

    def _one_recording(self, rows: Iterable[PurgeableRow]) -> Rows:
        """Return rows that are all of one recording: one file, or files with the same samples.

        Raises:
            _UnclearError: they are of several, and none or several lie in the cycle that was named.
        """
        rows = tuple(rows)
        if len({row.audio for row in rows}) > 1 and len(_sounds(rows)) > 1:
            own = tuple(row for row in rows if row.manifest in self._first)
            if own and len(_sounds(own)) == 1:
                return own
            raise _UnclearError(
                f"means several recordings ({self._places(row.audio for row in rows)}). Fix: write "
                "each that is meant by its path from the folder of cycles on."
            )
        return rows

    def _source(self, name: str) -> Rows:
        """Return the rows of every cycle that were cut from a recording."""
        found = self._by_source.get(_composed(name), [])
        origins = {origin for origin, _ in found}
        if len(origins) > 1:
            own = {origin for origin, row in found if row.manifest in self._first}
            if len(own) != 1:
                sources = {
                    str(entry["recording"])
                    for row, entry in self._origins
                    if self._sources[_identity(row)] & origins
                }
                raise _UnclearError(
                    f"means several recordings that were imported ({self._places(sources)}). Fix: "
                    "write its whole path as provenance.jsonl has it."
                )
            origins = own
        return _joined(*(tuple(self._by_origin[one]) for one in sorted(origins)))

    def _are_files_of(self, recording: Rows, source: Rows) -> bool:
        """Return whether rows were cut from the recordings of other rows."""
        if not (recording and source):
            return False
        files = {str(row.audio) for row in recording}
        cut = set(map(_identity, source))
        read = {str(entry["recording"]) for row, entry in self._origins if _identity(row) in cut}
        return read <= files

    def _with_fields(self, fields: Mapping[str, str | float]) -> Rows:
        """Return the rows that have all of some fields, in every cycle.

        Imports number conversations, so that one name may be two of them in two cycles.
        """
        wanted = {name: str(value) for name, value in fields.items()}
        found = [{_identity(row): row for row in self._with_field(*one)} for one in wanted.items()]
        rows = tuple(
            row for row in found[0].values() if all(_identity(row) in one for one in found)
        )
        if CONVERSATION not in wanted:
            return rows
        by_manifest: defaultdict[Path, set[str]] = defaultdict(set)
        for row in rows:
            by_manifest[row.manifest] |= self._sources.get(_identity(row), set())
        if _hang_together([sources for sources in by_manifest.values() if sources]):
            return rows
        if own := tuple(row for row in rows if row.manifest in self._first):
            return own
        raise _UnclearError(
            f"is a conversation of different recordings in several cycles "
            f"({self._places(by_manifest)}). Fix: name the cycle that is meant instead of the "
            "folder of cycles, or list the recordings' paths."
        )

    def _with_field(self, name: str, value: str) -> list[PurgeableRow]:
        if name not in self._by_field:
            rows = [row for row in self._rows if row.fields.get(name) is not None]
            self._by_field[name] = _index(rows, lambda row: [str(row.fields[name])])
        return _get(self._by_field[name], value)

    def _places(self, paths: Iterable[object]) -> str:
        shown = sorted({str(path).removeprefix(f"{self._clinic}/") for path in paths})
        more = len(shown) - _SHOWN_PLACES
        return ", ".join(shown[:_SHOWN_PLACES]) + (f" and {more} more" if more > 0 else "")


def _index(
    rows: Iterable[PurgeableRow], names: Callable[[PurgeableRow], Iterable[str]]
) -> dict[str, list[PurgeableRow]]:
    index: dict[str, list[PurgeableRow]] = {}
    for row in rows:
        for name in names(row):
            index.setdefault(_composed(name), []).append(row)
    return index


def _get(index: Mapping[str, list[PurgeableRow]], name: str) -> list[PurgeableRow]:
    return index.get(_composed(name), [])


def _composed(name: str) -> str:
    """Return a name with each letter as one character: some systems write é as two."""
    return unicodedata.normalize("NFC", name)


def _identity(row: PurgeableRow) -> str:
    return f"{row.manifest}\0{row.number}"


def _joined(*groups: Rows) -> Rows:
    """Return all rows of groups, each once."""
    return tuple({_identity(row): row for rows in groups for row in rows}.values())


def _sounds(rows: Iterable[PurgeableRow]) -> set[str]:
    """Return what tells recordings apart: hashes of samples, or the paths of unreadable files."""
    return {samples_of(path) or str(path) for path in {row.audio for row in rows}}


def _hang_together(groups: Sequence[set[str]]) -> bool:
    """Return whether each group shares something with another one, and all so with the first."""
    if not groups:
        return True
    reached, waiting = set(groups[0]), list(groups[1:])
    while more := [group for group in waiting if not group.isdisjoint(reached)]:
        reached.update(*more)
        waiting = [group for group in waiting if group.isdisjoint(reached)]
    return not waiting
