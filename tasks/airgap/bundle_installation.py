"""Install a verified bundle without a network: all of it, or nothing that anybody would find.

A whole bundle becomes a release, a folder of its own below the target; ``current`` points to it
only when it is complete. A bundle beside the host's packages becomes one folder a part, each put in
its place by a rename. An interrupted installation leaves folders that nothing points to, and the
next one removes them.

Like the manifest, this is in the program that installs on a machine that has nothing yet.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
import zipfile
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.airgap import image_loading, installed_bundle, packages_by_pip
from tasks.airgap.bundle_manifest import (
    BILL_NAME,
    BundleContent,
    BundleLayout,
    ContentKind,
)
from tasks.airgap.installed_bundle import InstalledBase, InstalledBundle, InstalledImage
from tasks.common import atomic_files
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.installation import BASES_FOLDER, RECORD_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.airgap.bundle_parts import VerifiedParts

CURRENT, RELEASES, ENVIRONMENT, IMAGES_FOLDER = "current", "releases", "venv", "images"
PATHS_NAME = "paths"
_WORK = ".installing-"


def install(
    parts: VerifiedParts, target: Path, python: str, report: Callable[[str], None]
) -> InstalledBundle:
    """Install these parts below the target.

    Args:
        parts: all of a whole bundle; any of one that is installed beside the host's packages.
        target: a folder, which is made if need be.
        python: the interpreter.
        report: takes a line for a person.

    Raises:
        InputError: the parts do not suffice, or this machine is not the one they were made for.
        OfflineInstallError: pip refused.
    """
    check_machine(parts, python)
    target = target.absolute()
    with _lock(target):
        _remove_leftovers(target)
        _check_space(parts, target)
        if parts.manifest.about.layout is BundleLayout.WHOLE:
            return _install_whole(parts, target, python, report)
        return _install_beside(parts, target, python, report)


def check_machine(parts: VerifiedParts, python: str) -> None:
    """Refuse a Python or a processor that the wheels are not for, or parts that are too few.

    Raises:
        InputError: says which.
    """
    about = parts.manifest.about
    try:
        line = "import sys; print('%d.%d' % sys.version_info[:2])"
        answer = subprocess.run(
            [python, "-c", line], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as wrong:
        raise InputError(
            f"{python}: does not run ({wrong}). Fix: name Python {about.python} with PYTHON=…"
        ) from wrong
    if answer != about.python:
        raise InputError(
            f"{python}: is Python {answer}, and the bundle is for {about.python}. Fix: name that "
            "interpreter with PYTHON=…, or make the bundle with --python " + answer + "."
        )
    if platform.machine() != about.machine:
        raise InputError(
            f"the bundle is for {about.machine}, and this machine is {platform.machine()}. Fix: "
            f"make the bundle with --machine {platform.machine()}."
        )
    incomplete = [one.name for one in parts.manifest.contents if not parts.is_here(one)]
    if about.layout is BundleLayout.WHOLE and incomplete:
        missing = ", ".join(f"part-{number}" for number in parts.missing)
        raise InputError(
            f"{missing}: not named, and {incomplete[0]} is in there. Fix: name every part of the "
            "bundle."
        )
    for content in parts.manifest.contents:
        if not parts.is_here(content) and set(content.parts) & set(parts.folders):
            needed = ", ".join(f"part-{number}" for number in sorted(set(content.parts)))
            raise InputError(
                f"{content.name}: is cut into pieces in {needed}. Fix: name these parts together."
            )


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    try:
        target.mkdir(parents=True, exist_ok=True)
        handle = os.open(target / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as wrong:
        raise InputError(
            f"{target}: cannot be written ({wrong}). Fix: choose another place."
        ) from wrong
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as busy:
        raise InputError(
            f"{target}: another installation is at work there. Fix: wait for its end."
        ) from busy
    finally:
        os.close(handle)


def _remove_leftovers(target: Path) -> None:
    """Remove what an interrupted installation has left; nothing points to it."""
    for place in (target, target / RELEASES):
        for left in place.glob(f"{_WORK}*"):
            if left.is_symlink():
                left.unlink()
            else:
                shutil.rmtree(left, ignore_errors=True)
    for release in (target / RELEASES).glob("*"):
        if not (release / RECORD_NAME).is_file():
            shutil.rmtree(release, ignore_errors=True)


def needed_bytes(parts: VerifiedParts) -> int:
    """Return about how many bytes an installation of what is here takes on a disk."""
    needed = 0
    for content in filter(parts.is_here, parts.manifest.contents):
        pieces = parts.pieces(content)
        if content.kind is ContentKind.WHEEL and len(pieces) == 1:
            with zipfile.ZipFile(pieces[0]) as wheel:
                needed += sum(info.file_size for info in wheel.infolist())
        elif content.kind is ContentKind.WHEEL:
            needed += 4 * content.bytes  # joined beside it, and unpacked
        elif content.details.get("format") != image_loading.DOCKER:
            needed += content.bytes
    return needed


def _check_space(parts: VerifiedParts, target: Path) -> None:
    """Refuse a disk that has too little room for what is here."""
    needed = needed_bytes(parts)
    free = shutil.disk_usage(target).free
    if free < needed:
        raise InputError(
            f"{target}: {free / 1e9:.1f} GB are free, and the bundle wants about "
            f"{needed / 1e9:.1f} GB. Fix: free space there, or choose another place."
        )


def _install_whole(
    parts: VerifiedParts, target: Path, python: str, report: Callable[[str], None]
) -> InstalledBundle:
    current = target / CURRENT
    bundle = parts.manifest.bundle
    present = installed_bundle.read_record(current.resolve()) if current.is_symlink() else None
    if present is not None and present.bundle == bundle:
        if not installed_bundle.find_damage(present, full=False):
            report(f"{target}: this bundle is installed already, and its files are intact")
            return _with_images(parts, present, report)
        report(f"{target}: the installation is damaged; a new one takes its place")
    # The final path: scripts of an environment name it.
    numbers = (n for n in range(1, 1000) if not (target / RELEASES / f"{bundle[:12]}-{n}").exists())
    release = target / RELEASES / f"{bundle[:12]}-{next(numbers)}"
    try:
        release.mkdir(parents=True)
        venv = release / ENVIRONMENT
        report(
            f"{release}: installing "
            f"{counted(len(parts.manifest.of_kind(ContentKind.WHEEL)), 'wheel')}"
        )
        # Debian's Python comes without ensurepip; pip is in the bundle.
        packages_by_pip.run([python, "-m", "venv", "--without-pip", str(venv)], "venv")
        interpreter = str(venv / "bin" / "python")
        with tempfile.TemporaryDirectory(prefix=_WORK, dir=release.parent) as work:
            packages_by_pip.install(
                parts, parts.manifest.of_kind(ContentKind.WHEEL), Path(work), interpreter
            )
        packages_by_pip.run(
            [interpreter, "-m", "pip", "--disable-pip-version-check", "check"], "pip check"
        )
        (packages,) = venv.glob("lib/python*/site-packages")
        packages_by_pip.compile_folder(interpreter, packages, packages)
        bases = _place_bases(parts, release)
        images = _place_images(parts, release)
        _place_bill(parts, release)
        record = InstalledBundle(
            root=release,
            bundle=bundle,
            about=parts.manifest.about,
            installed=datetime.now(UTC).isoformat(timespec="seconds"),
            records=installed_bundle.hash_records(release),
            parts=tuple(range(1, parts.manifest.parts + 1)),
            parts_made=parts.manifest.parts,
            bases=bases,
            images=images,
        )
        installed_bundle.write_record(record)
    except BaseException:
        shutil.rmtree(release, ignore_errors=True)
        raise
    switched = target / f"{_WORK}{os.getpid()}"
    switched.unlink(missing_ok=True)
    switched.symlink_to(release.relative_to(target))
    switched.replace(current)
    return _with_images(parts, record, report)


def _install_beside(
    parts: VerifiedParts, target: Path, python: str, report: Callable[[str], None]
) -> InstalledBundle:
    manifest = parts.manifest
    wheels: dict[int, list[BundleContent]] = {}
    for content in manifest.of_kind(ContentKind.WHEEL):
        if parts.is_here(content):
            wheels.setdefault(content.parts[0], []).append(content)
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=target) as name:
        work = Path(name)
        places = {number: parts.folders[number].absolute().name for number in sorted(wheels)}
        for number, place in places.items():
            new = work / place
            joined = work / f"joined-{number}"
            joined.mkdir()
            packages_by_pip.install(parts, wheels[number], joined, python, new)
            # Tracebacks name the final place.
            packages_by_pip.compile_folder(python, new, target / place)
        bases = _place_bases(parts, work)
        images = _place_images(parts, work)
        before = installed_bundle.read_record(target)
        # Each by a rename: nobody imports half of a part.
        for place in (*places.values(), *_folders(work, BASES_FOLDER, IMAGES_FOLDER)):
            _put(work / place, target / place, work)
        _place_bill(parts, target)
        known = _list_paths(target)
        here = [str(target / place) for place in places.values()]
        paths = list(dict.fromkeys([*here, *known]))
        atomic_files.write_text(target / PATHS_NAME, "".join(f"{path}\n" for path in paths))
    again = before is not None and before.bundle == manifest.bundle
    record = InstalledBundle(
        root=target,
        bundle=manifest.bundle,
        about=manifest.about,
        installed=datetime.now(UTC).isoformat(timespec="seconds"),
        records=installed_bundle.hash_records(target),
        parts=tuple(sorted({*parts.folders, *(before.parts if before and again else ())})),
        parts_made=manifest.parts,
        bases=(*bases, *(base for base in (before.bases if before else ()) if base not in bases)),
        images=(*images, *(one for one in (before.images if before else ()) if one not in images)),
    )
    installed_bundle.write_record(record)
    return _with_images(parts, record, report)


def python_path(target: Path) -> str:
    """Return the PYTHONPATH of an installation beside the host's packages."""
    return ":".join(_list_paths(target))


def _list_paths(target: Path) -> list[str]:
    file = target / PATHS_NAME
    return file.read_text(encoding="utf-8").split("\n")[:-1] if file.is_file() else []


def _folders(work: Path, *names: str) -> list[str]:
    return [name for name in names if (work / name).is_dir()]


def _put(new: Path, place: Path, work: Path) -> None:
    if place.name in {BASES_FOLDER, IMAGES_FOLDER} and place.is_dir():
        # Others are in use there: each file by a rename too.
        for file in list(filter(Path.is_file, new.rglob("*"))):
            to = place / file.relative_to(new)
            to.parent.mkdir(parents=True, exist_ok=True)
            file.replace(to)
        return
    if place.exists():
        place.rename(work / f"old-{place.name}")
    new.rename(place)


def _place_bases(parts: VerifiedParts, root: Path) -> tuple[InstalledBase, ...]:
    placed = []
    for content in filter(parts.is_here, parts.manifest.of_kind(ContentKind.BASE)):
        base, revision = content.details["base"], content.details["revision"]
        place = Path(BASES_FOLDER) / content.name
        if revision:  # as Hugging Face's cache has it, where the catalogue looks
            folder = "models--" + base.replace("/", "--")
            place = Path(BASES_FOLDER) / folder / "snapshots" / revision / content.name
        packages_by_pip.join(parts, content, root / place)
        if revision:
            atomic_files.write_text(root / BASES_FOLDER / folder / "refs" / "main", revision)
        placed.append(InstalledBase(base, revision, str(place), content.bytes, content.sha256))
    return tuple(placed)


def _place_images(parts: VerifiedParts, root: Path) -> tuple[InstalledImage, ...]:
    placed = []
    for content in filter(parts.is_here, parts.manifest.of_kind(ContentKind.IMAGE)):
        form, place = content.details["format"], ""
        if form != image_loading.DOCKER:
            place = f"{IMAGES_FOLDER}/{content.name}"
            packages_by_pip.join(parts, content, root / place)
        placed.append(
            InstalledImage(content.details["image"], form, place, content.bytes, content.sha256, "")
        )
    return tuple(placed)


def _place_bill(parts: VerifiedParts, root: Path) -> None:
    for content in filter(parts.is_here, parts.manifest.of_kind(ContentKind.BILL)):
        packages_by_pip.join(parts, content, root / BILL_NAME)


def _with_images(
    parts: VerifiedParts, record: InstalledBundle, report: Callable[[str], None]
) -> InstalledBundle:
    """Load the images for an engine, if there is one, and write down what was loaded."""
    loaded = []
    for image in record.images:
        content = next(
            (
                one
                for one in parts.manifest.of_kind(ContentKind.IMAGE)
                if one.sha256 == image.sha256 and parts.is_here(one)
            ),
            None,
        )
        if content is None or image.form != image_loading.DOCKER:
            loaded.append(image)
            continue
        number = image_loading.load(image.image, partial(parts.read, content), report)
        loaded.append(image.with_id(number or image.loaded_id))
    new = record.with_images(tuple(loaded))
    if new != record:
        installed_bundle.write_record(new)
    return new
