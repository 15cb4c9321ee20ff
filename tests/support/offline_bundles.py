"""Small offline bundles: empty packages, a tiny base, no index and no network."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.airgap import wheel_resolution
from tasks.airgap.bundle_manifest import BundleAbout, BundleLayout, ContentKind
from tasks.airgap.bundle_writing import MIB, describe, write_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.airgap.bundle_manifest import BundleContent, PartManifest

BASE = "nvidia/parakeet-ctc-0.6b"
REVISION = "0123456789abcdef0123456789abcdef01234567"


def write_wheel(
    folder: Path, name: str, requires: Sequence[str] = (), padding: int = 0, licence: str = "MIT"
) -> Path:
    """Write a wheel of one module, with a program of its name; "one-2.0" is a version too."""
    name, _, version = name.partition("-")
    version = version or "1.0"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VALUE = {name!r}\ndef main():\n    print(VALUE)\n" + "#" * padding + "\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        f"License-Expression: {licence}\n" + "".join(f"Requires-Dist: {one}\n" for one in requires),
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-program = {name}:main\n",
    }
    return _pack(
        folder / f"{name}-{version}-py3-none-any.whl",
        {path: text.encode() for path, text in files.items()},
    )


def write_project_wheel(folder: Path, code: Path, version: str, more: str = "") -> Path:
    """Write a wheel of the project's modules as they are in a folder, without what it requires.

    Args:
        folder: for the wheel.
        code: the folder of the packages.
        version: of the project.
        more: a line for a .pth file: another folder that the environment imports from.
    """
    files = {
        path.relative_to(code).as_posix(): path.read_bytes()
        for package in ("asr_flywheel", "blocks", "flows", "tasks")
        for path in sorted((code / package).rglob("*.py"))
    }
    name = f"clinical_asr_flywheel-{version}"
    metadata = f"Metadata-Version: 2.1\nName: clinical-asr-flywheel\nVersion: {version}\n"
    files[f"{name}.dist-info/METADATA"] = metadata.encode()
    if more:
        files["more.pth"] = f"{more}\n".encode()
    return _pack(folder / f"{name}-py3-none-any.whl", files)


def _pack(wheel: Path, files: dict[str, bytes]) -> Path:
    info = next(path for path in files if path.endswith("/METADATA")).rpartition("/")[0]
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    rows = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
        rows.append(f"{path},sha256={digest.rstrip('=')},{len(content)}\n")
    files[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"]).encode()
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def write_project_bundle(folder: Path, more: str, python: str = "") -> Path:
    """Write a bundle of the project as it is here; the folder of its parts.

    Args:
        folder: is made.
        more: a folder with what the project requires, that the environment imports from.
        python: that it is said to be for; "" for this one.
    """
    import ensurepip  # noqa: PLC0415 - some Pythons come without it
    import sys  # noqa: PLC0415 - for this function alone

    files = folder / "files"
    files.mkdir(parents=True)
    (pip,) = Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")
    shutil.copy(pip, files)
    code = Path(__file__).parents[2]
    version = str(wheel_resolution.check_source(code)["version"])
    write_project_wheel(files, code, version, more)
    write_wheel(files, "nemo_toolkit")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    plain = about(BundleLayout.WHOLE, python or here)
    write_parts(
        describe_all(files),
        files,
        folder / "bundle",
        MIB,
        replace(plain, project=version),
        lambda _line: None,
    )
    return folder / "bundle"


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
