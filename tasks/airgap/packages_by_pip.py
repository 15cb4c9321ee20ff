"""Install a bundle's wheels by pip, which asks no index and checks the hashes once more.

Like the manifest, this is in the program that installs on a machine that has nothing yet.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.common.errors import FlywheelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.airgap.bundle_manifest import BundleContent
    from tasks.airgap.bundle_parts import VerifiedParts

_DAMAGED_FIX = "Fix: make the bundle again; its packages do not fit each other"


class OfflineInstallError(FlywheelError):
    """An installation that could not be finished; nothing of it is in use."""


def install(
    parts: VerifiedParts,
    wheels: Sequence[BundleContent],
    work: Path,
    python: str,
    into: Path | None = None,
) -> None:
    """Let pip install these wheels and no others; it checks their hashes once more."""
    links = {piece.parent for wheel in wheels for piece in parts.pieces(wheel)}
    for wheel in wheels:
        if len(wheel.parts) > 1:
            join(parts, wheel, work / wheel.name)
            links.add(work)
    requirements = work / "requirements.txt"
    lines = []
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        lines.append(f"{name}=={version} --hash=sha256:{wheel.sha256}\n")
    requirements.write_text("".join(lines), encoding="utf-8")
    own = [
        work / wheel.name if len(wheel.parts) > 1 else parts.pieces(wheel)[0]
        for wheel in wheels
        if wheel.name.startswith("pip-")
    ]
    # pip runs from its own wheel, as ensurepip does it.
    program = [str(own[0] / "pip")] if own else ["-m", "pip"]
    line = [
        python, *program, "--disable-pip-version-check", "install", "--quiet", "--no-index",
        "--no-deps", "--no-compile", "--no-cache-dir", "--require-hashes", "--requirement",
        str(requirements), *(f"--find-links={link}" for link in sorted(links)),
        *([] if into is None else ["--target", str(into)]),
    ]  # fmt: skip
    run(line, "pip install")


def run(line: list[str], what: str) -> None:
    """Run a step of an installation, without settings of this user's.

    Raises:
        OfflineInstallError: it failed; the message has its last words.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        # Settings of pip may name an index, and PYTHONPATH packages of another place.
        if not name.startswith("PIP_") and name not in {"PYTHONPATH", "PYTHONHOME"}
    }
    environment["PIP_CONFIG_FILE"] = os.devnull
    environment["PIP_ROOT_USER_ACTION"] = "ignore"
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise OfflineInstallError(
            f"{what} ended with exit code {done.returncode}: {said}. {_DAMAGED_FIX}."
        )


def compile_folder(python: str, folder: Path, final: Path) -> None:
    """Compile a folder by all cores; what does not compile is a package's own test."""
    line = [python, "-m", "compileall", "-q", "-j", "0", "-s", str(folder), "-p", str(final)]
    subprocess.run([*line, str(folder)], capture_output=True, check=False)


def join(parts: VerifiedParts, content: BundleContent, target: Path) -> None:
    """Write a content from its pieces, atomically.

    Raises:
        InputError: the pieces are no longer those that were verified.
    """
    with atomic_files.atomic_path(target) as temporary, temporary.open("wb") as out:
        for chunk in parts.read(content):
            out.write(chunk)
