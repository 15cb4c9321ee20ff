"""The summary of an import: what its rows are, and which recordings are back after a purge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.data.manifest import BANDWIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from tasks.data.importers.staging import Staging


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did.

    Attributes:
        format: the source's.
        rows: in the manifest.
        left_out: faulty rows that are not.
        seconds: of sound.
        resumed: rows that an earlier, stopped import had converted.
        changes: rows by what conversion changed: none, rate, depth, rate and depth.
        narrow: rows of at most 8 kHz.
        clipped: rows with samples that full scale limited.
        warnings: what the check found that does not stop a run.
        cut: long recordings that were cut into rows.
        set_apart: rows of these whose text may not be what was said.
        without_transcript_s: seconds of these in which something is said that no text has.
        returned: recordings that were purged before, by their names in the cycle.
    """

    format: str
    rows: int
    left_out: int
    seconds: float
    resumed: int
    changes: dict[str, int]
    narrow: int
    clipped: int
    warnings: tuple[str, ...] = ()
    cut: int = 0
    set_apart: int = 0
    without_transcript_s: float = 0.0
    returned: tuple[str, ...] = ()


def summarise(place: Staging, name: str, not_rows: Container[int]) -> ImportSummary:
    """Count what the rows of the manifest are."""
    counts: dict[str, int] = {}
    rows = narrow = clipped = 0
    seconds = 0.0
    for entry in place.entries():
        if entry["number"] in not_rows:
            continue
        rows += 1
        seconds += entry["duration"]
        change = entry["provenance"]["change"]
        counts[change] = counts.get(change, 0) + 1
        narrow += BANDWIDTH in entry["record"]
        clipped += entry["provenance"]["clipped_samples"] > 0
    return ImportSummary(name, rows, 0, round(seconds, 3), 0, counts, narrow, clipped)


def seconds_without_transcript(cuts: Mapping[str, Any]) -> float:
    """Return the seconds of long recordings in which something is said that no text has."""
    return sum(
        float(end - start)
        for recording in cuts.get("recordings", ())
        for start, end in recording["without_transcript"]
    )


def returned_recordings(
    place: Staging, find_returned: Callable[[Iterable[str]], Container[str]]
) -> tuple[str, ...]:
    """Return the recordings in the cycle that were purged before, those set apart too."""

    def present() -> Iterator[tuple[str, str]]:
        for entry in place.entries():
            name = entry.get("record", {}).get("audio_filepath")
            if name and (place.content / name).is_file():
                yield name, entry["provenance"]["samples_sha256"]

    purged = find_returned(sound for _, sound in present())
    return tuple(name for name, sound in present() if sound in purged)
