"""The manifest of an offline bundle: what it holds, for which machine, and in which parts.

Every part has the whole list of contents, so that a part alone tells which others are missing, and
the list of its own files. This module is also in the program that installs a bundle on a machine
that has nothing yet: it imports the standard library and ``tasks.common`` only.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 2
MANIFEST_NAME, SUMS_NAME = "manifest.json", "SHA256SUMS"
SCRIPT_NAME, PROGRAM_NAME = "install.sh", "install.pyz"
BILL_NAME = "bom.cdx.json"
# A name is joined to a folder: it must not lead out of it.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!@=-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ContentKind(StrEnum):
    """What a bundled file is for."""

    WHEEL = "wheel"
    BASE = "base"
    IMAGE = "image"
    BILL = "bill"
    """The bill of materials."""


class BundleLayout(StrEnum):
    """How a bundle is installed."""

    WHOLE = "whole"
    """Into a virtual environment of its own, with everything."""
    BESIDE = "beside"
    """Into folders on PYTHONPATH, beside the packages that the host has."""


@dataclass(frozen=True, slots=True)
class BundleContent:
    """A file that the bundle brings.

    Attributes:
        name: of the file, without a folder.
        kind: what it is for.
        bytes: its size.
        sha256: of all of it.
        parts: the numbers of the parts with its pieces, in order; one for a file in one piece.
        details: of a base: base, revision; of an image: image, format, id.
    """

    name: str
    kind: ContentKind
    bytes: int
    sha256: str
    parts: tuple[int, ...]
    details: dict[str, str]

    def piece_name(self, piece: int) -> str:
        """Return the name of its piece, from 1, in its part."""
        count = len(self.parts)
        return self.name if count == 1 else f"{self.name}.{piece:03d}-of-{count:03d}"


@dataclass(frozen=True, slots=True)
class PartFile:
    """A file of one part: a content, or a piece of one.

    Attributes:
        name: in the part's folder.
        bytes: its size.
        sha256: of this piece.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BundleAbout:
    """What a bundle is, apart from its files.

    Attributes:
        project: this project's version.
        nemo: NeMo's version.
        python: for which Python, such as 3.12.
        machine: for which processor, such as x86_64.
        layout: how it is installed.
        left_to_the_host: packages, with their versions, that the host itself has.
    """

    project: str
    nemo: str
    python: str
    machine: str
    layout: BundleLayout
    left_to_the_host: dict[str, str]


@dataclass(frozen=True, slots=True)
class PartManifest:
    """The manifest of a part.

    Attributes:
        about: what the bundle is.
        contents: of the whole bundle.
        part: this part's number, from 1.
        parts: how many there are.
        files: of this part.
    """

    about: BundleAbout
    contents: tuple[BundleContent, ...]
    part: int
    parts: int
    files: tuple[PartFile, ...]

    @property
    def bundle(self) -> str:
        """The bundle's id: a hash over what it is and all that it holds."""
        return hashing.fingerprint(
            {"about": asdict(self.about), "contents": [asdict(one) for one in self.contents]}
        )

    def of_kind(self, kind: ContentKind) -> tuple[BundleContent, ...]:
        """Return the contents of one kind."""
        return tuple(content for content in self.contents if content.kind is kind)

    def as_dict(self) -> dict[str, Any]:
        """Return the document that is written into the part."""
        files = {file.name: file for file in self.files}
        return {
            "schema": SCHEMA,
            "bundle": self.bundle,
            **asdict(self.about),
            "part": self.part,
            "parts": self.parts,
            "files": [asdict(file) for file in self.files],
            "contents": [asdict(content) for content in self.contents],
            # What installs one part by itself reads these.
            "wheels": [
                asdict(files[content.name])
                for content in self.of_kind(ContentKind.WHEEL)
                if content.name in files
            ],
        }


def read_manifest(part: Path) -> PartManifest:
    """Read and check the manifest of a part.

    Raises:
        InputError: there is none, it is of another form, or it was changed.
    """
    path = part / MANIFEST_NAME
    if not path.is_file():
        raise InputError(
            f"{part}: no part of a bundle, since it has no {MANIFEST_NAME}. Fix: name the folders "
            "part-1, part-2, … of the bundle, not the folder above them."
        )
    document = atomic_files.read_json(path)
    try:
        manifest = _parse_manifest(document)
    except (KeyError, TypeError, ValueError) as wrong:
        raise InputError(
            f"{path}: not a manifest of form {SCHEMA} ({type(wrong).__name__}: {wrong}). Fix: copy "
            "the part again, or make the bundle with this release."
        ) from wrong
    if document["bundle"] != manifest.bundle:
        raise InputError(f"{path}: changed since the bundle was made. Fix: copy the part again.")
    return manifest


def _parse_manifest(document: dict[str, Any]) -> PartManifest:
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']!r}")
    about = BundleAbout(
        str(document["project"]),
        str(document["nemo"]),
        str(document["python"]),
        str(document["machine"]),
        BundleLayout(document["layout"]),
        {str(name): str(version) for name, version in document["left_to_the_host"].items()},
    )
    contents = tuple(
        BundleContent(
            _plain(row["name"]),
            ContentKind(row["kind"]),
            int(row["bytes"]),
            _digest(row["sha256"]),
            tuple(int(part) for part in row["parts"]),
            {str(key): str(value) for key, value in row["details"].items()},
        )
        for row in document["contents"]
    )
    files = tuple(
        PartFile(_plain(row["name"]), int(row["bytes"]), _digest(row["sha256"]))
        for row in document["files"]
    )
    return PartManifest(about, contents, int(document["part"]), int(document["parts"]), files)


def is_plain(name: str) -> bool:
    """Return whether a file's name may be in a bundle: letters, digits, and a few signs."""
    return _PLAIN_NAME.fullmatch(name) is not None


def _plain(name: str) -> str:
    if not is_plain(name):
        raise ValueError(f"name {name!r}")
    return name


def _digest(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"sha256 {digest!r}")
    return digest
