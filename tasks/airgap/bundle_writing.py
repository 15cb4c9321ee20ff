"""Write the parts of a bundle: files and pieces of files, manifests, and what installs them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipapp
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.airgap.bundle_manifest import (
    MANIFEST_NAME,
    PROGRAM_NAME,
    SCRIPT_NAME,
    SUMS_NAME,
    BundleAbout,
    BundleContent,
    BundleLayout,
    ContentKind,
    PartFile,
    PartManifest,
)
from tasks.common import atomic_files, hashing
from tasks.common.counted import counted
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIB = 1 << 20
_CHUNK_BYTES = 1 << 20
# What the installing program consists of; it imports the standard library and nothing else.
_PROGRAM_MODULES = (
    "tasks/__init__.py",
    "tasks/airgap/__init__.py",
    "tasks/airgap/bundle_installation.py",
    "tasks/airgap/bundle_manifest.py",
    "tasks/airgap/bundle_parts.py",
    "tasks/airgap/image_loading.py",
    "tasks/airgap/install_program.py",
    "tasks/airgap/installed_bundle.py",
    "tasks/airgap/packages_by_pip.py",
    "tasks/common/__init__.py",
    "tasks/common/atomic_files.py",
    "tasks/common/counted.py",
    "tasks/common/errors.py",
    "tasks/common/hashing.py",
    "tasks/common/installation.py",
)
_SCRIPT = """#!/bin/sh
# install.sh TARGET PART…: install parts of a bundle without a network.
# PYTHON names the interpreter; the last line tells how to use what was installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
(cd "$here" && grep ' {program}$' {sums} | sha256sum --quiet --check -) >&2
exec "${{PYTHON:-{python}}}" "$here/{program}" "$@"
"""


def describe(path: Path, kind: ContentKind, details: dict[str, str] | None = None) -> BundleContent:
    """Describe a file that is to be bundled; its parts are not settled yet."""
    size, digest = path.stat().st_size, hashing.sha256_file(path)
    return BundleContent(path.name, kind, size, digest, (), details or {})


def cut(sizes: dict[str, int], limit: int) -> list[list[str]]:
    """Put files into as few parts as first-fit finds, none larger than ``limit`` bytes.

    A file that is larger than a part begins a part of its own; it is cut into pieces later.
    """
    parts: list[tuple[int, list[str]]] = []
    for name in sorted(sizes, key=lambda file: (-sizes[file], file)):
        for place, (size, names) in enumerate(parts):
            if size + sizes[name] <= limit:
                parts[place] = (size + sizes[name], [*names, name])
                break
        else:
            parts.append((sizes[name], [name]))
    return [sorted(names) for _, names in parts]


def place_contents(contents: Sequence[BundleContent], limit: int) -> list[BundleContent]:
    """Settle in which parts each content is; one that is larger than a part is cut into pieces.

    Raises:
        InputError: no limit to speak of.
    """
    if limit < MIB // 1024:
        raise InputError("a part of less than 1 KiB. Fix: a larger --part-mib.")
    sizes: dict[str, int] = {}
    pieces: dict[str, tuple[str, int]] = {}
    for content in contents:
        count = max(1, -(-content.bytes // limit))
        for piece in range(count):
            name = f"{content.name}/{piece}"
            sizes[name] = min(limit, content.bytes - piece * limit)
            pieces[name] = (content.name, piece)
    places = {
        pieces[name]: number
        for number, names in enumerate(cut(sizes, limit), start=1)
        for name in names
    }
    return [
        replace(
            content,
            parts=tuple(
                places[content.name, piece] for piece in range(max(1, -(-content.bytes // limit)))
            ),
        )
        for content in contents
    ]


def write_parts(
    contents: Sequence[BundleContent],
    files: Path,
    out: Path,
    limit: int,
    about: BundleAbout,
    report: Callable[[str], None],
) -> PartManifest:
    """Move files into parts, each with its manifest, its hashes and what installs it.

    Args:
        contents: of the bundle.
        files: the folder with their files, which is emptied.
        out: the new folder.
        limit: the largest part in bytes.
        about: what the bundle is.
        report: takes a line for a person.

    Returns:
        The manifest of the first part.
    """
    placed = place_contents(contents, limit)
    count = max(part for content in placed for part in content.parts)
    written: dict[int, list[PartFile]] = {number: [] for number in range(1, count + 1)}
    for number in written:
        (out / f"part-{number}").mkdir(parents=True)
    for content in placed:
        source = files / content.name
        if len(content.parts) == 1:
            (number,) = content.parts
            shutil.move(source, out / f"part-{number}" / content.name)
            written[number].append(PartFile(content.name, content.bytes, content.sha256))
            continue
        with source.open("rb") as stream:
            for piece, number in enumerate(content.parts, start=1):
                path = out / f"part-{number}" / content.piece_name(piece)
                written[number].append(_write_piece(stream.read, path, limit))
        source.unlink()
    manifests = []
    for number, listed in written.items():
        part = out / f"part-{number}"
        manifest = PartManifest(about, tuple(placed), number, count, tuple(listed))
        manifests.append(manifest)
        atomic_files.write_json(part / MANIFEST_NAME, manifest.as_dict())
        write_program(part / PROGRAM_NAME)
        own = about.layout is BundleLayout.WHOLE
        python = f"$(command -v python{about.python} || echo python3)" if own else "python3"
        script = part / SCRIPT_NAME
        text = _SCRIPT.format(program=PROGRAM_NAME, sums=SUMS_NAME, python=python)
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)
        rows = [f"{file.sha256}  {file.name}\n" for file in listed]
        rows += [
            f"{hashing.sha256_file(part / name)}  {name}\n"
            for name in (MANIFEST_NAME, PROGRAM_NAME, SCRIPT_NAME)
        ]
        (part / SUMS_NAME).write_text("".join(rows), encoding="utf-8")
        size = sum(file.bytes for file in listed)
        report(f"part-{number}: {counted(len(listed), 'file')}, {size / MIB:.0f} MiB")
    return manifests[0]


def _write_piece(read: Callable[[int], bytes], path: Path, limit: int) -> PartFile:
    digest, left = hashlib.sha256(), limit
    with path.open("wb") as out:
        while left and (chunk := read(min(left, _CHUNK_BYTES))):
            digest.update(chunk)
            out.write(chunk)
            left -= len(chunk)
    return PartFile(path.name, limit - left, digest.hexdigest())


def write_program(target: Path) -> None:
    """Write the program that installs a bundle on a machine with Python and nothing else."""
    root = Path(str(resources.files("tasks"))).parent
    with tempfile.TemporaryDirectory() as temporary:
        for module in _PROGRAM_MODULES:
            copy = Path(temporary) / module
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / module, copy)
        zipapp.create_archive(temporary, target, main="tasks.airgap.install_program:main")
