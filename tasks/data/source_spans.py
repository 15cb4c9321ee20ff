"""Which span of which source recording each row is, as provenance.jsonl of an import says it.

Rows that were cut from one recording share sound where their spans overlap, although no two of them
have equal samples. A row is found by the hash of its samples, so that a moved, renamed or labelled
cycle is read as well; by its path where its recording was changed since.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

PROVENANCE = "provenance.jsonl"
ROUNDING_S = 0.01
"""Spans may overlap by so much: sources write times to a hundredth of a second."""
_FOLDERS_ABOVE = 3
_FLOAT_ERROR_S = 1e-6


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """A span of a source recording.

    Attributes:
        recording: hash of the source recording's bytes.
        channel: counted from 1; None for all channels, or the only one.
        start: seconds from the recording's begin.
        end: seconds from there.
    """

    recording: str
    channel: int | None
    start: float
    end: float

    def shared_seconds(self, other: SourceSpan) -> float:
        """Return how much sound two spans share; 0 where it is no more than rounding."""
        if self.recording != other.recording or not _same_sound(self.channel, other.channel):
            return 0.0
        shared = min(self.end, other.end) - max(self.start, other.start)
        return shared if shared > ROUNDING_S + _FLOAT_ERROR_S else 0.0


def _same_sound(one: int | None, other: int | None) -> bool:
    """Return whether two channels hold one sound: two sides of a telephone call do not."""
    return one == other or one is None or other is None


@dataclass(frozen=True, slots=True)
class Provenance:
    """What imports wrote down of rows: which span each is, by its samples and by its path.

    Attributes:
        by_samples: spans by the hash of a row's samples; equal samples may be of two spans.
        by_path: a span by a row's resolved path.
    """

    by_samples: Mapping[str, tuple[_Line, ...]] = field(default_factory=dict)
    by_path: Mapping[Path, _Line] = field(default_factory=dict)

    def spans_of(self, path: Path, samples_sha256: str, seconds: float) -> tuple[SourceSpan, ...]:
        """Return the spans that a row is; none where no import wrote it down.

        Args:
            path: the row's recording, resolved.
            samples_sha256: hash of its samples.
            seconds: its length, for a span that goes to its recording's end.
        """
        lines = self.by_samples.get(samples_sha256) or (
            (self.by_path[path],) if path in self.by_path else ()
        )
        return tuple(line.span(seconds) for line in lines)

    def spans_of_samples(self, samples: Iterable[str]) -> Iterator[SourceSpan]:
        """Yield the spans of recordings that are known by the hashes of their samples alone.

        One that goes to its recording's end has no known end, and shares all that follows.
        """
        for samples_sha256 in samples:
            for line in self.by_samples.get(samples_sha256, ()):
                yield line.span(math.inf)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of provenance.jsonl."""

    recording: str
    channel: int | None
    start: float
    end: float | None

    def span(self, seconds: float) -> SourceSpan:
        """Return the span of a row of this length."""
        end = self.start + seconds if self.end is None else self.end
        return SourceSpan(self.recording, self.channel, self.start, end)


def read_provenance(folders: Iterable[Path]) -> Provenance:
    """Read what imports wrote down beside manifests.

    Args:
        folders: that may hold a provenance.jsonl.

    Raises:
        InputError: one of these files is no JSON lines.
    """
    by_samples: defaultdict[str, dict[_Line, None]] = defaultdict(dict)
    by_path: dict[Path, _Line] = {}
    for folder in folders:
        if not (folder / PROVENANCE).is_file():
            continue
        for entry in atomic_files.read_jsonl(folder / PROVENANCE):
            if (line := _read_line(entry)) is None:
                continue
            if isinstance(samples := entry.get("samples_sha256"), str):
                by_samples[samples][line] = None
            if isinstance(audio := entry.get("audio_filepath"), str):
                by_path[(folder / audio).resolve()] = line
    return Provenance({samples: tuple(lines) for samples, lines in by_samples.items()}, by_path)


def span_of(entry: Mapping[str, Any], seconds: float) -> SourceSpan | None:
    """Return the span of a row that an entry of provenance.jsonl tells; None if it tells none.

    Args:
        entry: the row's line.
        seconds: the row's length, for a span that goes to its recording's end.
    """
    line = _read_line(entry)
    return None if line is None else line.span(seconds)


def _read_line(entry: Mapping[str, Any]) -> _Line | None:
    """Return an entry that names a recording; None for one that was purged."""
    recording, channel = entry.get("recording_sha256"), entry.get("channel")
    start, end = entry.get("start") or 0.0, entry.get("end")
    is_sound = isinstance(start, int | float) and isinstance(end, int | float | None)
    if not isinstance(recording, str) or not is_sound:
        return None
    return _Line(recording, channel if isinstance(channel, int) else None, start, end)


def write_spans(target: Path, own: Path, others: Iterable[Path]) -> bool:
    """Write the spans of rows without what names a recording, for a host that splits them.

    Args:
        target: the file.
        own: the folder of the rows' manifest; its rows are known by their paths, too.
        others: folders of other manifests, whose rows are known by the hashes of their samples.

    Returns:
        Whether there was anything to write.
    """
    names = ("recording_sha256", "samples_sha256", "channel", "start", "end")
    lines: list[dict[str, Any]] = []
    for folder in dict.fromkeys((own, *others)):
        if not (folder / PROVENANCE).is_file():
            continue
        kept = ("audio_filepath", *names) if folder == own else names
        lines += [
            {name: entry[name] for name in kept if name in entry}
            for entry in atomic_files.read_jsonl(folder / PROVENANCE)
            if _read_line(entry) is not None
        ]
    if lines:
        atomic_files.write_jsonl(target, lines)
    return bool(lines)


def folders_of(manifest: Path, recordings: Iterable[Path]) -> list[Path]:
    """Return the folders whose imports may have written rows of a manifest down.

    Args:
        manifest: whose own folder comes first.
        recordings: its rows' recordings, resolved; some may lie in other cycles.
    """
    folders = {manifest.parent.resolve(): None}
    for parent in {path.parent for path in recordings}:
        for above in (parent, *parent.parents[:_FOLDERS_ABOVE]):
            if above not in folders and (above / PROVENANCE).is_file():
                folders[above] = None
    return [*folders]


def provenance_folders(clinic: Path) -> list[Path]:
    """Return the folders of a clinic's cycles; of labelled/cycle1 those beside labelled too."""
    return [path for place in (clinic, clinic.parent) for path in sorted(place.glob("cycle*"))]


class SpanIndex:
    """Finds out whether a span shares sound with any of many spans."""

    def __init__(self, spans: Iterable[SourceSpan]) -> None:
        ordered: defaultdict[str, defaultdict[int | None, list[SourceSpan]]]
        ordered = defaultdict(lambda: defaultdict(list))
        for span in sorted(spans, key=lambda one: one.start):
            ordered[span.recording][span.channel].append(span)
        # Of spans that begin before another one ends, the one that ends last tells.
        self._ends = {
            recording: {
                channel: ([one.start for one in found], [*accumulate((s.end for s in found), max)])
                for channel, found in channels.items()
            }
            for recording, channels in ordered.items()
        }

    def __bool__(self) -> bool:
        return bool(self._ends)

    def shares(self, span: SourceSpan) -> bool:
        """Return whether a span shares sound with one of the others."""
        least = ROUNDING_S + _FLOAT_ERROR_S
        for channel, (starts, ends) in self._ends.get(span.recording, {}).items():
            if not _same_sound(channel, span.channel):
                continue
            earlier = bisect_left(starts, span.end - least)
            if earlier and ends[earlier - 1] > span.start + least:
                return True
        return False


def find_sharing(spans: Sequence[tuple[str, SourceSpan]]) -> Iterator[tuple[str, str, float]]:
    """Yield pairs that share sound: enough of them to tell which hang together.

    Args:
        spans: the name of a row, such as its hash, and its span; a name may stand several times.

    Yields:
        The names of two rows and the seconds that they share.
    """
    by_recording: defaultdict[str, list[tuple[str, SourceSpan]]] = defaultdict(list)
    for name, span in spans:
        by_recording[span.recording].append((name, span))
    for found in by_recording.values():
        # Of each channel the span so far that ends last: whatever shares sound with an earlier one
        # shares it with this one too, and so do these two.
        last: dict[int | None, tuple[str, SourceSpan]] = {}
        for name, span in sorted(found, key=lambda one: (one[1].start, one[1].end, one[0])):
            for other, before in last.values():
                if other != name and (seconds := span.shared_seconds(before)):
                    yield other, name, seconds
            kept = last.get(span.channel)
            if kept is None or span.end > kept[1].end:
                last[span.channel] = (name, span)


def hanging_together(spans: Sequence[tuple[str, SourceSpan]]) -> dict[str, str]:
    """Return for each name that shares sound with another one the first name of its group.

    Args:
        spans: as of ``find_sharing``.
    """
    groups: dict[str, set[str]] = {}
    for one, other, _ in find_sharing(spans):
        first, second = groups.get(one, {one}), groups.get(other, {other})
        if first is second:
            continue
        larger, smaller = (first, second) if len(first) >= len(second) else (second, first)
        larger |= smaller
        groups.update(dict.fromkeys((*smaller, one, other), larger))
    names = {id(group): min(group) for group in groups.values()}
    return {name: names[id(group)] for name, group in groups.items()}
