"""What imports have read: a hospital's own recordings and tables, which a purge never changes.

Each cycle's import.json names the file or folder that was read, and provenance.jsonl each
recording. A place that is no longer there is looked for below the folder of cycles, since that may
have been moved or copied together with what was imported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.data.cycle_folder import IMPORTED_NAME, cycle_number
from tasks.data.importers.staging import ABOUT, SET_APART
from tasks.data.source_spans import PROVENANCE
from tasks.privacy import clinic_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_OWN_ROWS = frozenset(
    (
        *("manifest.jsonl", "general.jsonl", "train.jsonl", "selection.jsonl", "validation.jsonl"),
        *("distillation.jsonl", IMPORTED_NAME, SET_APART),
    )
)
"""Files of rows in a cycle that a later cycle may have been imported from."""
_OWN_HYPOTHESES = "hyps.jsonl"


@dataclass(frozen=True, slots=True)
class ImportSources:
    """The files and folders that imports into a clinic's cycles have read.

    Attributes:
        files: recordings and tables, by their absolute paths, as written and without links.
        folders: below which all is a source.
        wide: folders that hold cycles of the clinic as well: a source but for these.
        places: folders that this tool made or owns.
        referred: recordings that a manifest of the clinic refers to.
    """

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    wide: frozenset[str] = frozenset()
    places: tuple[Path, ...] = ()
    referred: frozenset[str] = frozenset()

    def holds(self, path: Path) -> bool:
        """Return whether an import has read a file, or the folder that it lies in.

        A recording inside of a cycle that a manifest refers to is the cycle's own, also where a
        later cycle was imported from it. So is a link in a cycle, but not what it leads to.
        """
        if not (self.files or self.folders or self.wide):
            return False
        names = _names_of(path)
        inside = _place_of(Path(_without_links(path)), self.places) is not None
        if inside and not names.isdisjoint(self.referred):
            return False
        if not names.isdisjoint(self.files):
            return True
        above = {folder for name in names for folder in _folders_above(os.path.dirname(name))}  # noqa: PTH120 - of many files
        if not above.isdisjoint(self.folders):
            return True
        return not inside and not above.isdisjoint(self.wide)


def find_sources(
    clinic: Path, files: Iterable[Path], places: Sequence[Path], referred: Iterable[Path]
) -> ImportSources:
    """Read what imports into a clinic's cycles have read.

    Args:
        clinic: the folder of cycles.
        files: that are looked at; import.json and provenance.jsonl among them are read.
        places: folders that this tool made or owns.
        referred: recordings that a manifest of the clinic refers to.
    """
    places = tuple({*places, *(path.resolve() for path in places)})
    own = frozenset(name for path in referred for name in _names_of(path))
    alone: set[str] = set()
    folders: set[str] = set()
    wide: set[str] = set()
    for path in files:
        if path.name == ABOUT:
            for source in _where(sources_of(path), clinic):
                if source.is_dir():
                    _add_folder(source, places, folders, wide)
                elif not _is_own_rows(source, path, places):
                    alone |= _names_and_target(source)
        elif path.name == PROVENANCE:
            recordings = (str(row["recording"]) for row in _rows(path))
            for source in _where(recordings, clinic):
                place = _place_of(Path(_without_links(source)), places)
                is_made = place is not None and (
                    cycle_number(place.name) is None or not _names_of(source).isdisjoint(own)
                )
                if not is_made:
                    alone |= _names_and_target(source)
    return ImportSources(frozenset(alone), frozenset(folders), frozenset(wide), places, own)


def sources_of(about: Path) -> Iterator[str]:
    """Yield the file or folder that import.json names."""
    for document in clinic_files.rows_of(about):
        source = document.get("source")
        if isinstance(source, str) and "command" in document:
            yield source


def _rows(provenance: Path) -> Iterator[dict[str, Any]]:
    return (row for row in clinic_files.rows_of(provenance) if "recording" in row)


def _add_folder(source: Path, places: Sequence[Path], folders: set[str], wide: set[str]) -> None:
    """Add a folder that was read to the sources, but for what this tool made."""
    names = {str(source), str(source.resolve())}
    place = _place_of(source.resolve(), places)
    if place is not None and cycle_number(place.name) is None:
        return  # such as an export that was read again
    holds_places = any(one.is_relative_to(name) for one in places for name in names)
    (wide if holds_places else folders).update(names)


def _is_own_rows(source: Path, about: Path, places: Sequence[Path]) -> bool:
    """Return whether a file that was read is one that this tool keeps rows in.

    Args:
        source: the file.
        about: the import.json that names it; what lay in the import's own cycle before is a source.
        places: folders that this tool made or owns.
    """
    place = _place_of(source, places)
    if place is None:
        return False
    if cycle_number(place.name) is None:
        return True
    known = source.name in _OWN_ROWS or source.name.endswith(_OWN_HYPOTHESES)
    return known and source.parent != about.parent


def _place_of(path: Path, places: Sequence[Path]) -> Path | None:
    """Return the innermost of the tool's folders that a path lies in, or is."""
    around = [place for place in places if path.is_relative_to(place)]
    return max(around, key=lambda place: len(place.parts), default=None)


def _where(recorded: Iterable[str], clinic: Path) -> Iterator[Path]:
    """Yield where sources lie: as recorded, or with the folder of cycles where that was moved."""
    for name in recorded:
        path = Path(os.path.normpath(name))
        yield path
        moved = _moved(path.parent, clinic) if path.is_absolute() else None
        if moved is not None and (moved / path.name).exists():
            yield moved / path.name


@lru_cache(maxsize=4096)
def _moved(folder: Path, clinic: Path) -> Path | None:
    """Return a folder's place below the folder of cycles where it is not at its recorded one."""
    if folder.is_dir():
        return None
    parts = folder.parts[1:]
    for start in range(len(parts) + 1):
        place = clinic.joinpath(*parts[start:])
        if place.is_dir():
            return place
    return None


def _names_of(path: Path) -> set[str]:
    """Return a path as it is written, and without links above it; it may be a link itself."""
    return {str(path), _without_links(path)}


def _names_and_target(path: Path) -> set[str]:
    return {*_names_of(path), *((str(path.resolve()),) if path.is_symlink() else ())}


def _without_links(path: Path) -> str:
    return f"{_folder_without_links(os.path.dirname(path))}/{path.name}"  # noqa: PTH120 - of many files


@lru_cache(maxsize=4096)
def _folder_without_links(folder: str) -> str:
    return os.path.realpath(folder).rstrip("/")


@lru_cache(maxsize=4096)
def _folders_above(folder: str) -> frozenset[str]:
    path = Path(folder)
    return frozenset(map(str, (path, *path.parents)))
