"""Rewrite a manifest's audio paths for another host (specification, container paths).

Host paths do not resolve in a container or on a rented host. A rewrite always makes a copy: the
manifest it came from is never edited.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.shell_words import in_shell
from tasks.data.audio_paths import host_path
from tasks.data.manifest import read_manifest, write_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mapping:
    """A source folder's path and its target path on the host that will read the manifest.

    Attributes:
        source: absolute path of a folder.
        target: absolute path of the same folder where the manifest will be read.
    """

    source: PurePosixPath
    target: PurePosixPath

    def __post_init__(self) -> None:
        for path in (self.source, self.target):
            if not path.is_absolute() or ".." in path.parts:
                raise InputError(
                    f"mapping {self.source}={self.target}: {path} must be an absolute path "
                    "without '..'. Fix: --map /home/me/cycle1=/workspace."
                )


def parse_mapping(text: str) -> Mapping:
    """Parse a mapping written as ``SOURCE=TARGET``; the last ``=`` divides.

    The source may be a folder of Windows or a URL, as the manifest writes it.

    Raises:
        InputError: it is not of that form.
    """
    source, separator, target = text.rpartition("=")
    if not separator or not source or not target:
        raise InputError(
            f"--map {text!r}: is no mapping. Fix: write SOURCE=TARGET, such as "
            "/data/cycle1=/workspace."
        )
    return Mapping(host_path(source), PurePosixPath(target))


def rewrite(manifest: Path, out: Path, mappings: Sequence[Mapping]) -> int:
    """Write a copy of a manifest with its audio paths mapped to another place.

    A relative path counts from the manifest's folder. The mapping with the longest source that
    holds a path applies. The audio need not exist here, since the manifest may be another host's.

    Args:
        manifest: the manifest to copy.
        out: where the copy goes.
        mappings: which folder becomes which.

    Returns:
        The number of rows.

    Raises:
        InputError: the manifest is broken, ``out`` is the manifest itself, or no mapping holds a
            path; names every such row.
    """
    if out.resolve() == manifest.resolve():
        raise InputError(f"{out}: is the manifest itself, which is never edited. Fix: name a copy.")
    rows = read_manifest(manifest)
    folder = PurePosixPath(manifest.resolve().parent)
    ordered = sorted(mappings, key=lambda mapping: len(mapping.source.parts), reverse=True)
    new_paths: list[str] = []
    unmapped_rows: list[str] = []
    unmapped_folders: dict[str, None] = {}
    for row in rows:
        path = normal(folder / host_path(row.audio_filepath))
        mapping = next(
            (candidate for candidate in ordered if path.is_relative_to(candidate.source)), None
        )
        if mapping is None:
            unmapped_rows.append(
                f"  row {row.row}: {row.audio_filepath!r} is under no mapped folder"
            )
            unmapped_folders[str(path.parent)] = None
        else:
            new_paths.append(str(mapping.target / path.relative_to(mapping.source)))
    if unmapped_rows:
        maps = " ".join(f"--map {in_shell(f'{one}=PLACE')}" for one in list(unmapped_folders)[:5])
        sources = ", ".join(str(mapping.source) for mapping in ordered)
        raise InputError(
            f"{manifest}: {counted(len(unmapped_rows), 'row')} cannot be rewritten (mapped: "
            f"{sources}). "
            f"Fix: add {maps}.\n" + "\n".join(unmapped_rows[:20])
        )
    write_manifest(out, (row.with_audio(path) for row, path in zip(rows, new_paths, strict=True)))
    return len(rows)


def normal(path: PurePosixPath) -> PurePosixPath:
    """Return the path without ``..``, resolved as text: the folders may be another host's."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and len(parts) > 1:
            parts.pop()
        elif part != "..":
            parts.append(part)
    return PurePosixPath(*parts)
