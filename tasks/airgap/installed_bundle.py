"""An installation from a bundle: its record, and what of its files is missing or was changed.

pip writes the hash of each file that it installs into the package's RECORD; the installation's own
record holds the hash of each RECORD. So every file can be checked, and nothing is hashed twice.
"""

from __future__ import annotations

import base64
import binascii
import csv
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.airgap import image_loading
from tasks.airgap.bundle_manifest import BundleAbout, BundleLayout
from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.installation import RECORD_NAME

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class InstalledBase:
    """A base model of an installation; ``path`` is relative to its root."""

    base: str
    revision: str
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class InstalledImage:
    """An image of an installation.

    Attributes:
        image: its name.
        form: docker or squashfs.
        path: relative to the root; "" for one that an engine holds.
        bytes: of its file.
        sha256: of its file.
        loaded_id: as the engine names what was loaded, or "".
    """

    image: str
    form: str
    path: str
    bytes: int
    sha256: str
    loaded_id: str

    def with_id(self, loaded_id: str) -> InstalledImage:
        """Return it as loaded under this id."""
        return replace(self, loaded_id=loaded_id)


@dataclass(frozen=True, slots=True)
class InstalledBundle:
    """The record of an installation.

    Attributes:
        root: its folder.
        bundle: the bundle's id.
        about: what the bundle is.
        installed: when, in UTC.
        records: SHA-256 of each package's RECORD, by its path below the root.
        parts: the numbers of the installed parts.
        parts_made: how many parts the bundle has.
        bases: placed below the root.
        images: loaded, or placed below the root.
    """

    root: Path
    bundle: str
    about: BundleAbout
    installed: str
    records: dict[str, str]
    parts: tuple[int, ...]
    parts_made: int
    bases: tuple[InstalledBase, ...]
    images: tuple[InstalledImage, ...]

    @property
    def missing_parts(self) -> list[int]:
        """The numbers of the bundle's parts that are not installed."""
        return [part for part in range(1, self.parts_made + 1) if part not in self.parts]

    def with_images(self, images: tuple[InstalledImage, ...]) -> InstalledBundle:
        """Return the record with these images."""
        return replace(self, images=images)


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A file of an installation that is missing or was changed; ``path`` as a person finds it."""

    path: str
    reason: str


def hash_records(root: Path) -> dict[str, str]:
    """Return the SHA-256 of each installed package's RECORD, by its path below the root."""
    paths = [
        *root.glob("venv/lib/python*/site-packages/*.dist-info/RECORD"),
        *root.glob("*/*.dist-info/RECORD"),
    ]
    return {str(path.relative_to(root)): hashing.sha256_file(path) for path in sorted(paths)}


def write_record(installed: InstalledBundle) -> None:
    """Write the record: from then on the installation counts."""
    document = {"schema": SCHEMA, **asdict(installed)}
    del document["root"]
    atomic_files.write_json(installed.root / RECORD_NAME, document)


def read_record(root: Path) -> InstalledBundle | None:
    """Read the record of an installation; None where there is none.

    Raises:
        InputError: it is of another form.
    """
    path = root / RECORD_NAME
    if not path.is_file():
        return None
    document: dict[str, Any] = atomic_files.read_json(path)
    try:
        about = document["about"]
        return InstalledBundle(
            root,
            document["bundle"],
            BundleAbout(**{**about, "layout": BundleLayout(about["layout"])}),
            document["installed"],
            document["records"],
            tuple(document["parts"]),
            document["parts_made"],
            tuple(InstalledBase(**row) for row in document["bases"]),
            tuple(InstalledImage(**row) for row in document["images"]),
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise InputError(
            f"{path}: not the record of an installation ({type(wrong).__name__}: {wrong}). Fix: "
            "install the bundle again."
        ) from wrong


def find_damage(installed: InstalledBundle, *, full: bool) -> list[DamagedFile]:
    """Find the files that are missing or changed.

    Args:
        installed: the installation.
        full: whether contents are read, too; else sizes are compared, which takes a second.
    """
    damage = []
    for name, digest in installed.records.items():
        record = installed.root / name
        if not record.is_file():
            damage.append(DamagedFile(str(record), "is missing"))
        elif hashing.sha256_file(record) != digest:
            damage.append(DamagedFile(str(record), "was changed"))
        else:
            damage += _find_package_damage(record, full=full)
    placed: list[InstalledBase | InstalledImage] = [*installed.bases]
    placed += [image for image in installed.images if image.path]
    for file in placed:
        path = installed.root / file.path
        if not path.is_file():
            damage.append(DamagedFile(str(path), "is missing"))
        elif path.stat().st_size != file.bytes or (
            full and hashing.sha256_file(path) != file.sha256
        ):
            damage.append(DamagedFile(str(path), "was changed"))
    return damage


def find_absent_images(installed: InstalledBundle) -> list[str]:
    """Return the images that an engine should hold and that none here does."""
    wanted = [one for one in installed.images if one.form == image_loading.DOCKER]
    if not wanted:
        return []
    program = image_loading.find_engine()
    return [
        one.image
        for one in wanted
        if program is None
        or not one.loaded_id
        or image_loading.find_id(program, one.image) != one.loaded_id
    ]


def _find_package_damage(record: Path, *, full: bool) -> list[DamagedFile]:
    damage = []
    folder = record.parents[1]
    with record.open(encoding="utf-8", newline="") as stream:
        for name, digest, size in csv.reader(stream):
            if not digest:  # RECORD itself
                continue
            path = folder / name
            if not path.exists() and name.startswith("../"):
                # pip install --target moves programs and leaves their lines as they were.
                path = folder / name.replace("../", "")
            if not path.is_file():
                damage.append(DamagedFile(str(path), "is missing"))
            elif (size and path.stat().st_size != int(size)) or (
                full and hashing.sha256_file(path) != _hexadecimal(digest)
            ):
                damage.append(DamagedFile(str(path), "was changed"))
    return damage


def _hexadecimal(digest: str) -> str:
    encoded = digest.removeprefix("sha256=")
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).hex()
    except (ValueError, binascii.Error):
        return ""
