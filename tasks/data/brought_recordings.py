"""Bring recordings of cycles into a new cycle's folder, as hard links where that can be."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.common.shell_words import in_shell
from tasks.data.audio_paths import as_posix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.data.manifest import Utterance

_AUDIO = "audio"
_SHOWN_FOLDERS = 3


class BroughtRecordings:
    """The recordings of a new cycle's folder; no two of them get one name.

    Attributes:
        linked: recordings that share their bytes with the source.
        outside: rows whose recording lies outside of its source's folder, and stays there; by that
            recording's folder.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self._folders: set[Path] = set()
        self._sources: dict[PurePosixPath, Path] = {}
        self._names: dict[Path, PurePosixPath] = {}
        self.linked = 0
        self.outside: Counter[str] = Counter()

    def bring(self, cycle: Cycle, row: Utterance) -> Utterance:
        """Return a row with its recording in the new folder, under the same relative path if free.

        A recording outside of the source's folder stays there, and is named by its whole path.

        Args:
            cycle: the source.
            row: of it.

        Raises:
            InputError: there is no such recording.
        """
        source = find_recording(cycle, row)
        if not source.is_relative_to(cycle.path):
            self.outside[str(source.parent)] += 1
            return row.with_audio(str(source))
        if (known := self._names.get(source)) is not None:
            return row.with_audio(known.as_posix())
        name = self._free_name(PurePosixPath(source.relative_to(cycle.path).as_posix()))
        self._sources[name] = source
        self._names[source] = name
        self._link(source, self._work / name)
        return row.with_audio(name.as_posix())

    def _free_name(self, name: PurePosixPath) -> PurePosixPath:
        """Return the name, or where another recording has it, one in a numbered folder of audio."""
        below = name.relative_to(_AUDIO) if name.is_relative_to(_AUDIO) else name
        number = 2
        while name in self._sources:
            name = PurePosixPath(_AUDIO, str(number)) / below
            number += 1
        return name

    def _link(self, source: Path, target: Path) -> None:
        if target.parent not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(target.parent)
        try:
            # Under its own inode: its rights and times stay, and no room is taken.
            os.link(os.path.realpath(source), target)
            self.linked += 1
        except OSError:
            shutil.copy2(source, target)


def describe_outside(rows: int, folders: Sequence[str]) -> list[str]:
    """Say where recordings lie that a new cycle names by their whole path; nothing without any.

    Args:
        rows: that name such a recording.
        folders: of these recordings.
    """
    if not rows:
        return []
    few = folders if len(folders) <= _SHOWN_FOLDERS else [os.path.commonpath(folders)]
    options = " ".join(f"--audio-root {in_shell(folder)}" for folder in few)
    note = (
        f"{rows} rows name recordings outside of their cycle's folder by their whole path. "
        f"Fix: add {options} wherever the cycle is used."
    )
    return [note]


def find_recording(cycle: Cycle, row: Utterance) -> Path:
    """Return the path of a row's recording.

    Raises:
        InputError: there is no such recording.
    """
    name = row.audio_filepath
    written = name if (cycle.path / name).is_file() else as_posix(name)
    source = Path(os.path.normpath(cycle.path / written))
    if not source.is_file():
        raise InputError(
            f"{cycle.manifest}: row {row.row}: there is no recording {name}. "
            "Fix: `asr-flywheel preflight` says where it was looked for."
        )
    return source
