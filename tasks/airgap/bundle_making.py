"""Make an offline bundle: gather wheels, bases and images, bill them, and cut them into parts."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.airgap import bill_of_materials, image_loading, wheel_resolution
from tasks.airgap.bundle_manifest import (
    BILL_NAME,
    BundleAbout,
    BundleContent,
    BundleLayout,
    ContentKind,
    PartManifest,
    is_plain,
)
from tasks.airgap.bundle_writing import MIB, describe, write_parts
from tasks.airgap.wheel_resolution import PINNED_NEMO, PROJECT, Pip, WheelTarget
from tasks.airgap.wheel_selection import ResolvedPackage, is_hosts, read_freeze, select_packages
from tasks.common import atomic_files
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.models import catalog
from tasks.runtimes import image_archives

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """What a bundle is asked to hold.

    Attributes:
        out: the new folder for its parts.
        source: a checkout of this project.
        target: the machine that it is for.
        nemo: the version.
        extras: of this project.
        have: freeze files of a host with PyTorch; none for an environment of its own.
        bases: .nemo files, or names of the catalogue.
        image: its name, or "".
        image_format: docker or squashfs.
        part_mib: the largest part.
    """

    out: Path
    source: Path
    target: WheelTarget
    nemo: str = PINNED_NEMO
    extras: tuple[str, ...] = ("demo",)
    have: tuple[Path, ...] = ()
    bases: tuple[str, ...] = ()
    image: str = ""
    image_format: str = image_loading.DOCKER
    part_mib: float = 2000


def make(request: BundleRequest, report: Callable[[str], None]) -> PartManifest:
    """Make a bundle; return the manifest of its first part.

    Raises:
        InputError: something that was named is not there, before anything is downloaded.
        FlywheelError: pip, or the engine, refused.
    """
    bill_of_materials.check_library()
    project = wheel_resolution.check_source(request.source)
    have = read_freeze(list(request.have))
    if request.have and "torch" not in have:
        raise InputError(
            "HAVE names no torch. Fix: install PyTorch with CUDA on the host first, or make a "
            "bundle with everything, without HAVE."
        )
    refuse_filled(request.out)
    # Downloads what a name needs; the longest wait comes when all else is checked.
    bases = [(name, catalog.describe(name), catalog.resolve_pinned(name)) for name in request.bases]
    for name, _, pinned in bases:
        if not is_plain(pinned.path.name):
            raise InputError(
                f"base {name!r}: its file's name cannot be in a bundle. Fix: a copy whose name has "
                "letters, digits, dots, hyphens and underscores only."
            )
    request.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=request.out.parent) as temporary:
        work = Path(temporary)
        files = work / "files"
        files.mkdir()
        needed, left = _gather_wheels(request, project, have, work, files, report)
        contents = [describe(path, ContentKind.WHEEL) for path in sorted(files.glob("*.whl"))]
        for name, base, pinned in bases:
            placed = files / pinned.path.name
            if placed.exists():
                raise InputError(f"base {name!r}: a second file {placed.name}. Fix: rename one.")
            atomic_files.link(pinned.path, placed)
            details = {"base": base.name if pinned.revision else placed.name}
            details["revision"] = pinned.revision
            contents.append(describe(placed, ContentKind.BASE, details))
        if request.image:
            contents.append(_gather_image(request, files, report))
        bill = files / BILL_NAME
        bill_of_materials.write_bill(contents, files, request.target.markers(), bill)
        contents.append(describe(bill, ContentKind.BILL))
        about = BundleAbout(
            project=project["version"],
            nemo=request.nemo,
            python=request.target.python,
            machine=request.target.machine,
            layout=BundleLayout.BESIDE if request.have else BundleLayout.WHOLE,
            left_to_the_host=left,
        )
        made = work / "made"
        made.mkdir()
        shutil.copyfile(bill, made / BILL_NAME)  # the original moves into a part
        manifest = write_parts(contents, files, made, int(request.part_mib * MIB), about, report)
        versions = {package.name: package.version for package in needed} | {
            "nemo-toolkit": request.nemo,
            PROJECT: project["version"],
        }
        lines = [f"{name}=={number}" for name, number in sorted({**have, **versions}.items())]
        (made / "freeze.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        refuse_filled(request.out)
        if request.out.is_dir():
            request.out.rmdir()
        made.chmod(0o755)
        made.rename(request.out)
    return manifest


def refuse_filled(out: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        InputError: it does, or it is a file.
    """
    if out.is_dir() and not any(out.iterdir()):
        return
    if os.path.lexists(out):
        raise InputError(f"{out}: is not empty. Fix: name another folder, or remove it.")


def _gather_wheels(
    request: BundleRequest,
    project: dict[str, object],
    have: dict[str, str],
    work: Path,
    files: Path,
    report: Callable[[str], None],
) -> tuple[list[ResolvedPackage], dict[str, str]]:
    """Bring the wheels into ``files``; return the packages, and what is left to the host."""
    links = work / "links"
    links.mkdir()
    pip = Pip(request.target, links)
    report(f"resolving wheels for Python {request.target.python} on {request.target.machine}")
    wheel_resolution.build_pure_sources(pip, request.nemo)
    beside = bool(request.have)
    # A local version is newer than the index's own, so that pip takes the stand-in.
    stubs = {
        name: version if "+" in version else f"{version}+host"
        for name, version in have.items()
        if is_hosts(name)
    }
    for name, version in stubs.items():
        wheel_resolution.write_stub(links, name, version)
    pins = links / "constraints.txt"
    lines = wheel_resolution.list_constraints(request.source, stubs, hosts_torch=beside)
    pins.write_text("\n".join(lines) + "\n", encoding="utf-8")
    extras = list(request.extras)
    roots = wheel_resolution.list_requirements(project, extras, request.nemo, hosts_torch=beside)
    if request.nemo != PINNED_NEMO:
        pip.download([ResolvedPackage("nemo-toolkit", request.nemo, ())], files)
        (nemo,) = files.glob("nemo_toolkit-*.whl")
        roots += wheel_resolution.loosen(nemo, request.target)
    resolved = pip.resolve(roots, pins)
    if beside:
        releases = {
            package.name: have[package.name]
            for package in resolved
            if package.name in have
            and have[package.name] != package.version
            and not is_hosts(package.name)
        }
        known, unknown = pip.describe(releases)
        for package in unknown:
            report(f"{package.name} {package.version}: not in the index; its needs are not known")
        needed = select_packages(resolved, have, roots, request.target.markers(), known)
    else:
        # An environment without ensurepip gets its pip from the bundle.
        needed = list({one.name: one for one in (*resolved, *pip.resolve(["pip"], pins))}.values())
    report(f"downloading {counted(len(needed), 'wheel')}")
    pip.download(needed, files)
    if PROJECT not in have:
        wheel_resolution.build_project(pip, request.source, files)
    names = {package.name for package in needed}
    left = {
        package.name: have.get(package.name, "")
        for package in sorted(resolved, key=lambda package: package.name)
        if package.name not in names
    }
    return needed, left


def _gather_image(
    request: BundleRequest, files: Path, report: Callable[[str], None]
) -> BundleContent:
    plain = "".join(
        letter if letter.isalnum() or letter in ".-" else "_" for letter in request.image
    )
    is_archive = request.image_format == image_loading.DOCKER
    path = files / f"{plain}.{'tar' if is_archive else 'sqsh'}"
    report(f"saving {request.image}")
    save = image_archives.save_archive if is_archive else image_archives.save_squashfs
    number = save(request.image, path, report)
    details = {"image": request.image, "format": request.image_format, "id": number}
    return describe(path, ContentKind.IMAGE, details)
