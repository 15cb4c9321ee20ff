"""A bundle that is to be sent to another host: checked here, before that host costs anything.

The host runs this machine's flows with parameters of this machine, so that the code in the bundle
must be the code here: an equal version is not enough, since a checkout changes between releases.
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from tasks.airgap import bundle_installation, image_loading, wheel_resolution
from tasks.airgap.bundle_manifest import (
    MANIFEST_NAME,
    PROGRAM_NAME,
    SCRIPT_NAME,
    SUMS_NAME,
    BundleLayout,
    ContentKind,
    read_manifest,
)
from tasks.airgap.bundle_parts import verify_parts
from tasks.common.errors import InputError
from tasks.common.shell_words import in_shell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.airgap.bundle_manifest import BundleAbout, PartManifest
    from tasks.airgap.bundle_parts import VerifiedParts

_PACKAGES = ("asr_flywheel", "blocks", "flows", "tasks")
_NAMED = 3
_GLIBC = re.compile(r"manylinux_2_(\d+)_")
# The older names of the same tags.
_OLD_GLIBC = {"manylinux1_": 5, "manylinux2010_": 12, "manylinux2014_": 17}
_MAKE = "asr-flywheel bundle make"


@dataclass(frozen=True, slots=True)
class SendableBundle:
    """A whole bundle of this code, each file of which has its hash.

    Attributes:
        parts: all of them.
        glibc: minor of the oldest glibc 2 that every wheel runs on.
        installed_bytes: that its installation takes on a disk, without images for an engine.
    """

    parts: VerifiedParts
    glibc: int
    installed_bytes: int

    @property
    def bundle(self) -> str:
        """The bundle's id."""
        return self.parts.manifest.bundle

    @property
    def about(self) -> BundleAbout:
        """What it is, apart from its files."""
        return self.parts.manifest.about

    @property
    def folders(self) -> list[Path]:
        """The parts' folders, in order."""
        return [self.parts.folders[number] for number in sorted(self.parts.folders)]

    @property
    def bytes(self) -> int:
        """The size of what is sent."""
        return sum(
            (folder / name).stat().st_size for folder in self.folders for name in list_files(folder)
        )

    def has_base(self, name: str) -> bool:
        """Return whether it brings a base of the catalogue."""
        bases = self.parts.manifest.of_kind(ContentKind.BASE)
        return any(base.details["base"] == name and base.details["revision"] for base in bases)

    def has_image(self, name: str) -> bool:
        """Return whether it brings an image that an engine can load."""
        return any(
            image.details["image"] == name and image.details["format"] == image_loading.DOCKER
            for image in self.parts.manifest.of_kind(ContentKind.IMAGE)
        )


def list_files(part: Path) -> list[str]:
    """Return the names of all files of a part."""
    own = [MANIFEST_NAME, SUMS_NAME, SCRIPT_NAME, PROGRAM_NAME]
    return [*own, *(file.name for file in read_manifest(part).files)]


def find_parts(named: Sequence[Path]) -> list[Path]:
    """Return the named parts; a folder above them stands for all that it holds."""
    found: list[Path] = []
    for folder in (one.expanduser().absolute() for one in named):
        inside = sorted(
            folder.glob(f"part-*/{MANIFEST_NAME}"), key=lambda path: (len(str(path)), path)
        )
        if (folder / MANIFEST_NAME).is_file() or not inside:
            found.append(folder)
        else:
            found += [path.parent for path in inside]
    return found


def check_for_host(
    named: Sequence[Path], code: Path, *, machine: str | None, trains: bool, gpu: bool
) -> SendableBundle:
    """Check everything about a bundle that can be known before its host is.

    Args:
        named: its parts, or the folder above them.
        code: the folder of this project's packages here.
        machine: the host's processor; None if nobody knows it yet.
        trains: whether the host trains in the bundle's environment, and not in an image.
        gpu: whether it must train on a GPU.

    Raises:
        InputError: says what does not fit, with a fix.
    """
    folders = find_parts(named)
    manifests = [read_manifest(folder) for folder in folders]
    first = manifests[0]
    _require_whole(folders, manifests)
    about = first.about
    if machine is not None and about.machine != machine:
        raise InputError(
            f"{folders[0]}: the bundle is for {about.machine}, and the host is {machine}. Fix: "
            f"{_MAKE} --machine {machine}."
        )
    wheels = first.of_kind(ContentKind.WHEEL)
    if trains and not any(wheel.name.startswith("nemo_toolkit-") for wheel in wheels):
        raise InputError(
            f"{folders[0]}: the bundle has no NeMo, and the run trains in its environment. Fix: "
            f"{_MAKE} --extra nemo, or train in an image with --runtime container."
        )
    torch = next((wheel.name for wheel in wheels if wheel.name.startswith("torch-")), "")
    if trains and gpu and "+cpu-" in torch:
        # Its maker's index had no other; a GPU would be paid for and not be used.
        raise InputError(
            f"{folders[0]}: {torch} cannot use a GPU. Fix: {_MAKE} where pip's index has PyTorch "
            "with CUDA (PyPI has), or --no-gpu-required to train on the processor."
        )
    here = _own_version(code)
    if about.project != here:
        raise InputError(
            f"{folders[0]}: the bundle has version {about.project} of this project, and this "
            f"machine runs {here}. Fix: {_MAKE} --python {about.python} with the version of this "
            "machine."
        )
    # The longest check comes last.
    parts = verify_parts(folders)
    _require_same_code(parts, code)
    return SendableBundle(
        parts,
        max((oldest_glibc(wheel.name) for wheel in wheels), default=0),
        bundle_installation.needed_bytes(parts),
    )


def _require_whole(folders: Sequence[Path], manifests: Sequence[PartManifest]) -> None:
    first = manifests[0]
    for folder, manifest in zip(folders, manifests, strict=True):
        if manifest.bundle != first.bundle:
            raise InputError(
                f"{folder}: part of bundle {manifest.bundle[:12]}, but {folders[0]} is of "
                f"{first.bundle[:12]}. Fix: name the parts of one bundle."
            )
    if first.about.layout is not BundleLayout.WHOLE:
        raise InputError(
            f"{folders[0]}: the bundle leaves packages to the host that it was made for, and "
            f"nobody knows what this host has. Fix: {_MAKE} without --have."
        )
    there = {manifest.part for manifest in manifests}
    if missing := [number for number in range(1, first.parts + 1) if number not in there]:
        named = ", ".join(f"part-{number}" for number in missing)
        raise InputError(
            f"{named}: not named, and the bundle has {first.parts} parts. Fix: name every part, or "
            "the folder above them."
        )


def _own_version(code: Path) -> str:
    try:
        return str(wheel_resolution.check_source(code)["version"])
    except InputError:  # no checkout: an installation
        return metadata.version(wheel_resolution.PROJECT)


def _require_same_code(parts: VerifiedParts, code: Path) -> None:
    """Refuse a bundle whose modules are not those here.

    Raises:
        InputError: names the first files that differ.
    """
    name = wheel_resolution.PROJECT.replace("-", "_")
    wheel = next((one for one in parts.manifest.contents if one.name.startswith(f"{name}-")), None)
    if wheel is None:
        raise InputError(
            f"{parts.folders[1]}: this project is not in the bundle. Fix: {_MAKE} makes one that "
            "has it."
        )
    with zipfile.ZipFile(io.BytesIO(b"".join(parts.read(wheel)))) as archive:
        bundled = {one for one in archive.namelist() if one.split("/")[0] in _PACKAGES}
        modules = {
            path.relative_to(code).as_posix()
            for package in _PACKAGES
            for path in (code / package).rglob("*.py")
        }
        different = sorted(
            {one for one in bundled if not _is_same(code / one, archive.read(one))}
            | (modules - bundled)
        )
    if different:
        more = f" and {len(different) - _NAMED} more" if len(different) > _NAMED else ""
        raise InputError(
            f"{wheel.name}: the bundle's code is not that of this machine ({code}): "
            f"{', '.join(different[:_NAMED])}{more}. Fix: {_MAKE} --python "
            f"{parts.manifest.about.python} --source {in_shell(code)}."
        )


def _is_same(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def oldest_glibc(wheel: str) -> int:
    """Return the minor of the oldest glibc 2 that a wheel's tags allow; 0 if they name none."""
    platforms = wheel.removesuffix(".whl").rpartition("-")[2]
    known = [int(minor) for minor in _GLIBC.findall(platforms)]
    known += [minor for name, minor in _OLD_GLIBC.items() if name in platforms]
    return min(known, default=0)
