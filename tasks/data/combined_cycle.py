"""Write a cycle that holds the rows of several, such as last month's and the new ones.

The sources are never changed. A sound that two of them have is one row: a model could otherwise
be trained on a recording that judges it.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.data import audio_probe
from tasks.data.audio_probe import Unreadable
from tasks.data.brought_recordings import BroughtRecordings, describe_outside, find_recording
from tasks.data.canonical import canonical
from tasks.data.combined_conversations import number_apart
from tasks.data.combined_voices import describe_alike, find_alike
from tasks.data.cycle_folder import FORMULARY_NAME, require_cycle_name
from tasks.data.manifest import read_manifest, write_manifest
from tasks.data.new_cycle import MANIFEST_NAME, free_name, new_cycle, refuse_content
from tasks.data.row_reviews import review_files
from tasks.data.source_spans import PROVENANCE

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.data.manifest import Utterance

ABOUT, GENERAL = "combine.json", "general.jsonl"
LEAST_SOURCES = 2
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class CombinedRow:
    """A row, the cycle that it is from, and the hash of its recording's samples."""

    cycle: Cycle
    utterance: Utterance
    sound: str

    def __str__(self) -> str:
        return f"row {self.utterance.row} of {self.cycle.path}"


@dataclass(frozen=True, slots=True)
class CombineSummary:
    """What became of the cycles' rows.

    Attributes:
        out: the new cycle's folder.
        rows: in its manifest.
        sources: rows that each source gave, in their order.
        repeated: rows that an earlier source has too, a sentence each.
        linked: recordings that the new cycle shares with its sources as hard links.
        outside: rows whose recording lies outside of its source's folder.
        outside_folders: of these recordings.
        general: manifests of general speech beside the sources' rows, which are not combined.
        returned: recordings that were purged before, by their names in the new cycle.
        voices_alike: voices with the name of a file that two sources have of other recordings.
    """

    out: str
    rows: int
    sources: dict[str, int]
    repeated: tuple[str, ...]
    linked: int
    outside: int
    outside_folders: tuple[str, ...]
    general: tuple[str, ...]
    returned: tuple[str, ...] = ()
    voices_alike: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What a person should know, a sentence each."""
        notes = [f"left out: {line}" for line in self.repeated[:_SHOWN]]
        if (more := len(self.repeated) - _SHOWN) > 0:
            notes.append(f"left out: {more} more rows that are there already ({ABOUT}: repeated)")
        notes += describe_outside(self.outside, self.outside_folders)
        notes += describe_alike(self.voices_alike)
        notes += [
            f"{name} is not combined. Fix: label the new cycle, or name this file with --general."
            for name in self.general
        ]
        return notes


def check_combination(sources: Sequence[Cycle], out: Path) -> None:
    """Refuse a place that has rows or is in a source, and less than two sources.

    Raises:
        InputError: says which.
    """
    require_cycle_name(out)
    paths = [os.path.realpath(source.path) for source in sources]
    if len(set(paths)) < len(paths) or len(paths) < LEAST_SOURCES:
        raise InputError(
            f"{sources[-1].path}: there is nothing to combine it with. "
            "Fix: name two different cycles, the earlier one first, and then the new folder."
        )
    for source in sources:
        if out.is_relative_to(source.path):
            raise InputError(
                f"{out}: is a source, or in one, and these are never changed. "
                "Fix: name the new cycle's folder last, outside of them."
            )
    refuse_content(out)


def combine_cycles(
    sources: Sequence[Cycle],
    out: Path,
    command: Sequence[str] = (),
    find_returned: Callable[[Iterable[str]], Container[str]] = lambda _: (),
) -> CombineSummary:
    """Write the rows of several cycles as one; its rows appear when they are whole.

    A row whose sound an earlier source has, with the same words, is left out and told.

    Args:
        sources: the cycles, the earliest first; where names of recordings clash, its stay.
        out: the folder, ``cycle<N>``; it may hold the evaluation of a run on the cycle before.
        command: as typed, for the record.
        find_returned: says which recordings, by the hashes of their samples, were purged before.

    Raises:
        InputError: a manifest or recording cannot be read, two rows have one sound and different
            words, or ``out`` has rows already.
    """
    check_combination(sources, out)
    kept, repeated = _without_repeated(_read_all(sources))
    with new_cycle(out, sources[0].path.stat().st_mode & 0o777) as work:
        purged = find_returned([row.sound for row in kept])
        recordings = BroughtRecordings(work)
        brought = [recordings.bring(row.cycle, row.utterance) for row in kept]
        write_manifest(work / MANIFEST_NAME, brought)
        names = {
            (row.cycle.path, row.utterance.audio_filepath): new.audio_filepath
            for row, new in zip(kept, brought, strict=True)
        }
        if provenance := [entry for source in sources for entry in _provenance(source, names)]:
            atomic_files.write_jsonl(work / PROVENANCE, provenance)
        _take_along(sources, out, work)
        summary = CombineSummary(
            out=str(out),
            rows=len(kept),
            sources={
                str(source.path): sum(row.cycle is source for row in kept) for source in sources
            },
            repeated=tuple(repeated),
            linked=recordings.linked,
            outside=recordings.outside.total(),
            outside_folders=tuple(sorted(recordings.outside)),
            general=tuple(
                str(source.path / GENERAL)
                for source in sources
                if (source.path / GENERAL).is_file()
            ),
            returned=tuple(
                new.audio_filepath
                for row, new in zip(kept, brought, strict=True)
                if row.sound in purged
            ),
            voices_alike=find_alike([_voices(source, kept) for source in sources]),
        )
        about = {
            "command": list(command),
            "sources": [
                {
                    "cycle": str(source.path),
                    "manifest_sha256": hashing.sha256_file(source.manifest),
                    "rows": summary.sources[str(source.path)],
                }
                for source in sources
            ],
            "rows": summary.rows,
            "repeated": list(repeated),
        }
        atomic_files.write_json(work / ABOUT, Schema.COMBINATION.mark(about))
    return summary


def _read(cycle: Cycle) -> list[CombinedRow]:
    """Read a cycle's rows and the hashes of their recordings.

    Raises:
        InputError: names the first row whose recording is not there or cannot be read.
    """
    utterances = read_manifest(cycle.manifest)
    paths = [find_recording(cycle, utterance) for utterance in utterances]
    rows = []
    for utterance, path, facts in zip(utterances, paths, audio_probe.probe_all(paths), strict=True):
        if isinstance(facts, Unreadable):
            raise InputError(
                f"{cycle.manifest}: row {utterance.row}: {path} cannot be read ({facts.reason}). "
                "Fix: `asr-flywheel preflight` names what is wrong with it."
            )
        rows.append(CombinedRow(cycle, utterance, facts.sha256))
    return rows


def _read_all(sources: Sequence[Cycle]) -> list[CombinedRow]:
    """Read all rows; conversations of other recordings that have one number get another."""
    read = [_read(source) for source in sources]
    known = []
    for source, rows in zip(sources, read, strict=True):
        recordings = {
            str(entry.get("audio_filepath")): str(entry["recording_sha256"])
            for entry in _read_provenance(source)
            if entry.get("recording_sha256")
        }
        known.append(
            [
                (row.utterance.conversation, recordings[row.utterance.audio_filepath])
                for row in rows
                if row.utterance.conversation and row.utterance.audio_filepath in recordings
            ]
        )
    return [
        replace(row, utterance=row.utterance.with_conversation(names[row.utterance.conversation]))
        if row.utterance.conversation in names
        else row
        for rows, names in zip(read, number_apart(known), strict=True)
        for row in rows
    ]


def _without_repeated(rows: Sequence[CombinedRow]) -> tuple[list[CombinedRow], list[str]]:
    """Return the rows whose sound no earlier source has, and a sentence on each of the others.

    Raises:
        InputError: one sound has other words in another source.
    """
    first: dict[str, CombinedRow] = {}
    kept, repeated, wrong = [], [], []
    for row in rows:
        other = first.setdefault(row.sound, row)
        if other.cycle is row.cycle:
            kept.append(row)  # within one manifest it is a matter of preflight
        elif canonical(other.utterance.text) != canonical(row.utterance.text):
            wrong.append(
                f"{row} has the sound of {other}, and other words: {row.utterance.text!r}, not "
                f"{other.utterance.text!r}"
            )
        else:
            differs = "" if other.utterance.flagged == row.utterance.flagged else _OTHER_TERMS
            repeated.append(f"{row} has the sound and the words of {other}{differs}")
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise InputError(
            f"{'; '.join(wrong[:_SHOWN])}{more}. "
            "Fix: listen to the recording, and correct the text that it is not."
        )
    return kept, repeated


_OTHER_TERMS = "; its terms are others, and the earlier row's count"


def _provenance(cycle: Cycle, names: dict[tuple[Path, str], str]) -> Iterator[dict[str, Any]]:
    """Yield what an import wrote down of a source's rows, under the recordings' new names."""
    for entry in _read_provenance(cycle):
        name = names.get((cycle.path, str(entry.get("audio_filepath"))))
        if name is not None:
            yield {**entry, "audio_filepath": name}


def _read_provenance(cycle: Cycle) -> list[dict[str, Any]]:
    """Return what an import wrote down of a cycle's rows; nothing where none did."""
    path = cycle.path / PROVENANCE
    return atomic_files.read_jsonl(path) if path.is_file() else []


def _voices(cycle: Cycle, rows: Sequence[CombinedRow]) -> list[tuple[str, dict[str, Any]]]:
    """Return the voices of a source's rows, each with what an import wrote down of the row."""
    lines = {str(entry.get("audio_filepath")): entry for entry in _read_provenance(cycle)}
    return [
        (row.utterance.voice_id, lines[row.utterance.audio_filepath])
        for row in rows
        if row.cycle is cycle and row.utterance.voice_id and row.utterance.audio_filepath in lines
    ]


def _take_along(sources: Sequence[Cycle], out: Path, work: Path) -> None:
    """Copy the clinic's formulary, and marks of reviews that the new folder would not see."""
    for source in sources:
        formulary = source.find_formulary()
        has_one = any((folder / FORMULARY_NAME).exists() for folder in (out, work))
        if formulary is not None and not has_one:
            shutil.copy2(formulary, work / FORMULARY_NAME)
        if source.path.parent == out.parent:
            continue  # the new cycle reads them where they are
        for review in review_files(source):
            shutil.copy2(review, free_name(work / review.name))
