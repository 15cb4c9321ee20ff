"""The parts of an offline bundle as they arrived: complete, whole and of one bundle, or refused.

Like the manifest, this is in the program that installs on a machine that has nothing yet.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.airgap.bundle_manifest import BundleContent, PartManifest, read_manifest
from tasks.common import hashing
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CHUNK_BYTES = 1 << 20
_NAMED = 5


@dataclass(frozen=True, slots=True)
class VerifiedParts:
    """Parts of one bundle, each file of which has its hash.

    Attributes:
        manifest: of the first of them; what is shared is alike in all.
        folders: by number.
    """

    manifest: PartManifest
    folders: dict[int, Path]

    @property
    def missing(self) -> list[int]:
        """The numbers of the parts that are not here."""
        return [
            number for number in range(1, self.manifest.parts + 1) if number not in self.folders
        ]

    def is_here(self, content: BundleContent) -> bool:
        """Return whether all pieces of a content are here."""
        return set(content.parts) <= set(self.folders)

    def pieces(self, content: BundleContent) -> list[Path]:
        """Return the files of a content's pieces, in order."""
        return [
            self.folders[part] / content.piece_name(piece)
            for piece, part in enumerate(content.parts, start=1)
        ]

    def read(self, content: BundleContent) -> Iterator[bytes]:
        """Yield a content's bytes, piece after piece.

        Raises:
            InputError: they are no longer those that were verified.
        """
        digest = hashlib.sha256()
        for piece in self.pieces(content):
            with piece.open("rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    yield chunk
        if digest.hexdigest() != content.sha256:
            raise InputError(
                f"{self.pieces(content)[0]}: its pieces together are not {content.name}, whose "
                f"SHA-256 is {content.sha256}. Fix: copy the parts again."
            )


def verify_parts(folders: Sequence[Path], bundle: str = "") -> VerifiedParts:
    """Check every file of these parts before anything of them is used.

    Args:
        folders: part-1, part-2, …, in any order.
        bundle: the id that whoever made the bundle told, or "".

    Raises:
        InputError: names the first files that are missing, changed or of another bundle.
    """
    if not folders:
        raise InputError("no part of a bundle is named. Fix: name its folders part-1, part-2, …")
    manifests = {folder: read_manifest(folder) for folder in folders}
    first = manifests[folders[0]]
    if bundle and first.bundle != bundle:
        raise InputError(
            f"{folders[0]}: this is bundle {first.bundle}, not {bundle}. Fix: take the id that "
            "`bundle make` printed, and the parts that it wrote."
        )
    faults: list[str] = []
    by_number: dict[int, Path] = {}
    for folder, manifest in manifests.items():
        if manifest.bundle != first.bundle:
            raise InputError(
                f"{folder}: part of bundle {manifest.bundle[:12]}, but {folders[0]} is of "
                f"{first.bundle[:12]}. Fix: name the parts of one bundle."
            )
        by_number[manifest.part] = folder
        faults += _find_faults(folder, manifest)
    if faults:
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise InputError(
            f"{'; '.join(faults[:_NAMED])}{more}. Nothing was installed. Fix: copy "
            f"{'this part' if len(by_number) == 1 else 'these parts'} again."
        )
    return VerifiedParts(first, by_number)


def _find_faults(folder: Path, manifest: PartManifest) -> list[str]:
    faults = []
    for file in manifest.files:
        path = folder / file.name
        try:
            if (size := path.stat().st_size) != file.bytes:
                faults.append(f"{path}: {size} bytes instead of {file.bytes}")
            elif (digest := hashing.sha256_file(path)) != file.sha256:
                faults.append(f"{path}: its SHA-256 is {digest[:12]}…, not {file.sha256[:12]}…")
        except OSError as unreadable:
            faults.append(f"{path}: {unreadable.strerror or unreadable}")
    listed = {file.name for file in manifest.files}
    for content in manifest.contents:
        for piece, part in enumerate(content.parts, start=1):
            if part == manifest.part and content.piece_name(piece) not in listed:
                faults.append(f"{folder}: its manifest does not list {content.piece_name(piece)}")
    return faults
