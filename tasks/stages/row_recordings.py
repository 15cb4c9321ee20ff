"""Find the recordings of an evaluation's rows on this host, and tell which are one recording.

A row names its recording by a path, perhaps of another host. The content decides where it is here:
speakers who read the same prompts have recordings of the same names in folders of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.data import audio_probe
from tasks.data.audio_paths import as_posix
from tasks.data.audio_probe import AudioFacts
from tasks.data.cycle_folder import open_cycle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_SAME_LENGTH_S = 0.01
"""A copy that was resampled, or whose level was changed, is as long as its original."""


def audio_folders(evaluation: Path) -> Iterator[Path]:
    """Yield the folders from which an evaluation's relative paths may count.

    Args:
        evaluation: its file, or its cycle's folder.
    """
    if not evaluation.is_dir():
        yield evaluation.parent
        return
    cycle = open_cycle(evaluation)
    yield cycle.path
    if cycle.previous is not None:
        yield cycle.previous.path


def find_recordings(name: str, folders: Sequence[Path]) -> list[Path]:
    """Return the files on this host that a name may mean: one of each folder that has it."""
    places = [(folder / as_posix(name)).resolve() for folder in folders]
    return [*dict.fromkeys(place for place in places if place.is_file())]


def hash_recordings(names: Sequence[str], folders: Sequence[Path]) -> list[frozenset[str]]:
    """Return the content hashes of the files that each name may mean; none where it is not here."""
    found = [find_recordings(name, folders) for name in names]
    facts = _probe({path for paths in found for path in paths})
    return [frozenset(facts[path].sha256 for path in paths if path in facts) for paths in found]


def are_others(
    names: Sequence[tuple[str, str]], first: Sequence[Path], second: Sequence[Path]
) -> list[bool]:
    """Return of each two names whether they are surely two recordings.

    Where one of them is not here, or both may mean one file, they are not. Else content and length
    tell.

    Args:
        names: what each of two files calls a row's recording.
        first: folders from which the first file's paths may count.
        second: folders from which the second file's do.
    """
    found = [(find_recordings(one, first), find_recordings(two, second)) for one, two in names]
    asked = [pair for pair in found if not set(pair[0]) & set(pair[1])]
    facts = _probe({path for pair in asked for side in pair for path in side})
    return [_surely_differ(one, two, facts) for one, two in found]


def _surely_differ(
    first: Sequence[Path], second: Sequence[Path], facts: Mapping[Path, AudioFacts]
) -> bool:
    """Return whether no file of the one side can be the recording of a file of the other."""
    known = [[facts[path] for path in side if path in facts] for side in (first, second)]
    if set(first) & set(second) or not all(known):
        return False
    return all(
        one.sha256 != two.sha256 and abs(one.duration - two.duration) > _SAME_LENGTH_S
        for one in known[0]
        for two in known[1]
    )


def _probe(paths: Iterable[Path]) -> dict[Path, AudioFacts]:
    listed = sorted(paths)
    facts = zip(listed, audio_probe.probe_all(listed), strict=True)
    return {path: fact for path, fact in facts if isinstance(fact, AudioFacts)}
