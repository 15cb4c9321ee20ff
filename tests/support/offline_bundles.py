"""Small offline bundles: empty packages, a tiny base, no index and no network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from typing import TYPE_CHECKING

from tasks.airgap.bundle_manifest import BundleAbout, BundleLayout, ContentKind
from tasks.airgap.bundle_writing import describe, write_parts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.airgap.bundle_manifest import BundleContent, PartManifest

BASE = "nvidia/parakeet-ctc-0.6b"
REVISION = "0123456789abcdef0123456789abcdef01234567"


def write_wheel(
    folder: Path, name: str, requires: Sequence[str] = (), padding: int = 0, licence: str = "MIT"
) -> Path:
    """Write a wheel of one module, with a program of its name."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": f"VALUE = {name!r}\ndef main():\n    print(VALUE)\n" + "#" * padding + "\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        f"License-Expression: {licence}\n" + "".join(f"Requires-Dist: {one}\n" for one in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-program = {name}:main\n",
    }
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
        rows.append(f"{path},sha256={digest.rstrip('=')},{len(text.encode())}\n")
    files[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"])
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def describe_all(files: Path) -> list[BundleContent]:
    """Describe the wheels of a folder, and its .nemo as a base of the catalogue."""
    contents = [describe(path, ContentKind.WHEEL) for path in sorted(files.glob("*.whl"))]
    details = {"base": BASE, "revision": REVISION}
    return [
        *contents,
        *(describe(path, ContentKind.BASE, details) for path in sorted(files.glob("*.nemo"))),
    ]


def about(layout: BundleLayout, python: str) -> BundleAbout:
    """A bundle of this project for a Python on this machine's processor."""
    import platform  # noqa: PLC0415 - asks the machine

    return BundleAbout("0.2.0", "3.0.0", python, platform.machine(), layout, {"torch": "2.11.0"})


def write_bundle(
    files: Path,
    out: Path,
    limit: int,
    layout: BundleLayout = BundleLayout.WHOLE,
    python: str = "3.11",
) -> PartManifest:
    """Write the parts of what lies in a folder."""
    return write_parts(
        describe_all(files), files, out, limit, about(layout, python), lambda _line: None
    )


def list_parts(out: Path) -> list[Path]:
    """The folders of a bundle's parts."""
    return sorted(out.glob("part-*"))
