"""Find voices of several cycles that are called by the names of their files, and alike.

A name of a file says who speaks within one import. Next month's `visit01_doctor` may be another
person. Only a person knows, so that such voices are told, and not renamed.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from tasks.common.counted import agreed, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SHOWN = 5


def find_alike(sources: Sequence[Iterable[tuple[str, Mapping[str, Any]]]]) -> tuple[str, ...]:
    """Return the voices with a file's name that are of other recordings in an earlier source.

    Args:
        sources: of each, the earliest first, for each row its voice and its line of the provenance.
    """
    known: defaultdict[str, set[str]] = defaultdict(set)
    alike: set[str] = set()
    for rows in sources:
        found: defaultdict[str, set[str]] = defaultdict(set)
        for voice, line in rows:
            if "recording_sha256" in line and _is_of_file(voice, line):
                found[voice].add(str(line["recording_sha256"]))
        # A corpus that grew and was imported anew has recordings of both.
        alike |= {voice for voice, own in found.items() if known[voice] and not own & known[voice]}
        for voice, own in found.items():
            known[voice] |= own
    return tuple(sorted(alike))


def _is_of_file(voice: str, line: Mapping[str, Any]) -> bool:
    """Return whether a voice is called as its recording, or as it and a tier of it."""
    stem = PurePath(str(line.get("member") or line.get("recording"))).stem
    return bool(stem) and (voice == stem or voice.startswith(f"{stem}_"))


def describe_alike(voices: Sequence[str]) -> list[str]:
    """Say which voices are one from here on, and what to do if they are not; nothing for none."""
    if not voices:
        return []
    count, more = len(voices), ", …" if len(voices) > _SHOWN else ""
    note = (
        f"{counted(count, 'voice')} {agreed(count, 'has', 'have')} the name of a file, and other "
        f"recordings in two of the cycles: {', '.join(voices[:_SHOWN])}{more}. Each is one voice "
        "in the new cycle, also for `--disjoint voice_id` and `purge --voice`. Fix: if they are "
        "other people, rename the files of one month, and import it again."
    )
    return [note]
