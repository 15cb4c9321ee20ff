"""The rows of all manifests that a purge looks at, and what imports wrote down of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.data import audio_probe
from tasks.data.audio_probe import AudioFacts
from tasks.data.source_spans import PROVENANCE
from tasks.privacy import clinic_files
from tasks.privacy.purge_scope import MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class PurgeableRow:
    """A row of a manifest, with its recording's absolute path."""

    manifest: Path
    number: int
    fields: Mapping[str, Any]
    audio: Path

    @property
    def written(self) -> str:
        """The recording's path as the manifest has it."""
        return str(self.fields.get("audio_filepath", ""))


def read_manifests(files: Sequence[Path]) -> Iterator[PurgeableRow]:
    """Yield the rows of all manifests among files."""
    for path in files:
        if path.name not in MANIFESTS:
            continue
        for number, row in enumerate(clinic_files.rows_of(path), start=1):
            audio = row.get("audio_filepath")
            if isinstance(audio, str):
                place = Path(os.path.normpath(path.parent / audio))
                yield PurgeableRow(path, number, row, place)


def samples_of(path: Path) -> str | None:
    """Return the hash of a recording's samples; None where it cannot be read."""
    facts = audio_probe.probe(path)
    return facts.sha256 if isinstance(facts, AudioFacts) else None


def provenance_of(rows: Sequence[PurgeableRow]) -> Iterator[tuple[PurgeableRow, dict[str, Any]]]:
    """Yield rows with what imports wrote down of them."""
    by_folder: dict[Path, dict[str, list[PurgeableRow]]] = {}
    for row in rows:
        by_folder.setdefault(row.manifest.parent, {}).setdefault(row.written, []).append(row)
    for folder in sorted(by_folder):
        provenance = folder / PROVENANCE
        for entry in clinic_files.rows_of(provenance) if provenance.is_file() else ():
            if "recording" in entry:
                for row in by_folder[folder].get(str(entry.get("audio_filepath")), ()):
                    yield row, entry
