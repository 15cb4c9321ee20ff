"""Where a purge looks: what this tool made or owns in the folder of cycles, and nothing beside it.

Beside the cycles may lie what is not the tool's: a hospital's recordings, another clinic's cycles.
These are searched only where a manifest of the clinic refers to them, or the user names them. What
an import has read is never changed, wherever it lies.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data.cycle_folder import cycle_folders, cycle_number
from tasks.data.exporters.exporting import ABOUT as EXPORT_ABOUT
from tasks.data.importers import labelling_sheet
from tasks.data.importers.staging import SET_APART
from tasks.data.labelling.labelled_cycle import ABOUT as LABEL_ABOUT
from tasks.data.labelling.labelled_cycle import DEFAULT_FOLDER
from tasks.data.labelling.sheet_files import SHEET
from tasks.privacy import clinic_files
from tasks.privacy.import_sources import ImportSources, find_sources
from tasks.records import run_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MANIFESTS = frozenset(("manifest.jsonl", "general.jsonl", SET_APART))
HANDOFFS = {"handoff.json": "measured_model_sha256", "bundle.json": "source_sha256"}
"""The records of hand-offs, and which of their fields is the hash of the model."""
_UNFINISHED = re.compile(r"\.(cycle[1-9][0-9]*|labelled)\..+")
"""Hidden folders beside a cycle in which an import, a label or a run works."""
SCOPE = (
    "searched: the cycles, labelled cycles, sheets, exports and hand-offs in the folder of cycles, "
    "general sets of its runs, folders of recordings that its manifests refer to, stores, servers"
)


@dataclass(frozen=True, slots=True)
class PurgeScope:
    """Where a purge looks.

    Attributes:
        files: all that are looked at and may be changed.
        sources: what imports have read; none of ``files`` is one.
        beside: files and folders in the folder of cycles that are not looked at.
    """

    files: tuple[Path, ...]
    sources: ImportSources
    beside: tuple[Path, ...] = ()


def find_scope(clinic: Path, folders: Iterable[Path] = ()) -> PurgeScope:
    """Find where a purge looks.

    Args:
        clinic: the folder of cycles.
        folders: more that the user names.
    """
    places = own_places(clinic)
    named = tuple(folders)
    made = clinic_files.list_files(places)
    referred = _referred(made)
    near = {
        path.parent
        for path in referred
        if path.is_relative_to(clinic) and not _is_inside(path, places) and path.parent.is_dir()
    }
    flat = [path for folder in sorted(near) for path in sorted(folder.iterdir()) if path.is_file()]
    flat += [path for path in _general_sets(clinic) if path.is_relative_to(clinic)]
    files = clinic_files.list_files((*places, *named, *_without_own(flat)))
    sources = find_sources(clinic, files, places, referred)
    looked_at = [*places, *named, *flat]
    beside = tuple(
        path
        for path in sorted(clinic.iterdir())
        if not path.name.startswith(".")
        and not clinic_files.is_own_record(path)
        and not any(one.is_relative_to(path) or path.is_relative_to(one) for one in looked_at)
        and not sources.holds(path / "any")
        and not sources.holds(path)
    )
    return PurgeScope(tuple(path for path in files if not sources.holds(path)), sources, beside)


def own_places(clinic: Path) -> tuple[Path, ...]:
    """List the folders in a folder of cycles that this tool made or owns."""
    cycles = cycle_folders(clinic)
    others = [
        path
        for path in sorted(clinic.iterdir())
        if path.is_dir() and path not in cycles and _is_made_here(path, cycles)
    ]
    return (*cycles, *others)


def _is_made_here(folder: Path, cycles: list[Path]) -> bool:
    """Return whether this tool made a folder beside the cycles."""
    if folder.name == DEFAULT_FOLDER or _UNFINISHED.fullmatch(folder.name):
        return True
    if any((folder / name).is_file() for name in (EXPORT_ABOUT, *HANDOFFS)):
        return True
    if (sheet := folder / SHEET).is_file() and _is_sheet(sheet):
        return True
    return any(_labelled_from(path) in cycles for path in folder.glob(f"cycle*/{LABEL_ABOUT}"))


def _is_sheet(path: Path) -> bool:
    try:
        return labelling_sheet.detect(path)
    except (InputError, UnicodeError):
        return False


def _labelled_from(about: Path) -> Path | None:
    """Return the cycle that a labelled one was made from."""
    try:
        document = atomic_files.read_json(about)
    except InputError:
        return None
    return Path(str(document.get("source")))


def _referred(files: Iterable[Path]) -> set[Path]:
    """Return the recordings that the manifests of cycles refer to."""
    found = set()
    for path in files:
        if path.name in MANIFESTS:
            for row in clinic_files.rows_of(path):
                if isinstance(audio := row.get("audio_filepath"), str):
                    found.add(Path(os.path.normpath(path.parent / audio)))
    return found


def _general_sets(clinic: Path) -> Iterator[Path]:
    """Yield the manifests of general English that runs were given."""
    for folder in cycle_folders(clinic):
        record = folder / run_record.RECORD_NAME
        try:
            document = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        config = document.get("config") if isinstance(document, dict) else None
        general = config.get("general") if isinstance(config, dict) else None
        if isinstance(general, str) and (path := Path(general)).is_file():
            yield path.absolute()


def _is_inside(path: Path, places: Iterable[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)


def _without_own(files: Iterable[Path]) -> Iterator[Path]:
    return (path for path in files if not clinic_files.is_own_record(path))


def nested_cycles(clinic: Path, folders: Iterable[Path]) -> list[Path]:
    """List the cycles in other folders that a purge looks at, such as ``labelled``."""
    roots = (*own_places(clinic), *folders)
    found = {path.parent for root in roots for path in root.rglob("manifest.jsonl")}
    own = set(cycle_folders(clinic))
    return sorted(path for path in found - own if cycle_number(path.name) is not None)
