"""The state of an installation from a bundle, for ``bundle check`` and for ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.airgap import installed_bundle
from tasks.airgap.bundle_installation import CURRENT, RELEASES
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.installation import RECORD_NAME, find_bundle_root

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.airgap.installed_bundle import DamagedFile, InstalledBundle

REPAIR = "install the bundle once more: `sh part-1/install.sh TARGET part-1 part-2 …`"


@dataclass(frozen=True, slots=True)
class InstallationState:
    """What was found of an installation.

    Attributes:
        installed: its record.
        damage: files that are missing or changed.
        absent_images: images that no engine here holds.
        full: whether every file was read, or its size compared.
    """

    installed: InstalledBundle
    damage: list[DamagedFile]
    absent_images: list[str]
    full: bool

    @property
    def intact(self) -> bool:
        """Whether all files are as they were installed."""
        return not self.damage

    def summary(self) -> str:
        """Return a line on what it is, in words that end no sentence."""
        record = self.installed
        how = "read" if self.full else "compared by size"
        bases = "".join(f", base {base.base}" for base in record.bases)
        return (
            f"{record.bundle[:12]} at {record.root}, installed {record.installed[:10]}, "
            f"{counted(len(record.records), 'package')}{bases}; files {how}"
        )

    def missing(self) -> str:
        """Return the names of the parts that are not installed."""
        return ", ".join(f"part-{number}" for number in self.installed.missing_parts)

    def lines(self, most: int) -> list[str]:
        """Return lines for a person, with ``most`` damaged files at most."""
        lines = [f"bundle {self.summary()}"]
        lines += [f"{file.path}: {file.reason}" for file in self.damage[:most]]
        if len(self.damage) > most:
            lines.append(f"and {counted(len(self.damage) - most, 'more file')}")
        lines += [f"{image}: no engine here holds it" for image in self.absent_images]
        if missing := self.missing():
            lines.append(f"{missing}: not installed")
        if self.damage or self.absent_images or missing:
            return [*lines, f"fix: {REPAIR}"]
        return [*lines, "nothing is missing, nothing was changed"]

    def as_dict(self) -> dict[str, Any]:
        """Return what ``bundle check --json`` prints."""
        return {
            "ok": self.intact,
            "bundle": self.installed.bundle,
            "root": str(self.installed.root),
            "damage": [{"path": file.path, "reason": file.reason} for file in self.damage],
            "absent_images": self.absent_images,
            "missing_parts": self.installed.missing_parts,
        }


def examine(place: Path | None, *, full: bool) -> InstallationState:
    """Examine an installation.

    Args:
        place: its folder, or the target that it was installed into; None for the one that this
            code is of.
        full: whether every file is read.

    Raises:
        InputError: there is none.
    """
    root = find_bundle_root() if place is None else _find_root(place)
    installed = None if root is None else installed_bundle.read_record(root)
    if installed is None:
        if place is None:
            raise InputError(
                "this environment is not from a bundle. Fix: name an installation, or parts."
            )
        interrupted = (place / RELEASES).is_dir() or any(place.glob(".installing-*"))
        said = "an interrupted installation" if interrupted else "no installation of a bundle"
        raise InputError(f"{place}: {said}, without {RECORD_NAME}. Fix: {REPAIR}.")
    return InstallationState(
        installed,
        installed_bundle.find_damage(installed, full=full),
        installed_bundle.find_absent_images(installed),
        full,
    )


def _find_root(place: Path) -> Path:
    current = place / CURRENT
    return current.resolve() if current.is_symlink() else place.absolute()
