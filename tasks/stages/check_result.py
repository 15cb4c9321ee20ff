"""A check of this machine: the run that it is for, and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.runtimes.hardware import Hardware


class CheckStatus(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, but a user may want to know."""
    MISSING = "missing"
    """The run that was asked about cannot go without it."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes:
        check: its name.
        state: whether the run can go.
        says: what was found, in words that end no sentence.
        fix: the command or step that mends it; "" where nothing is wrong.
    """

    check: str
    state: CheckStatus
    says: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the result as ``asr-flywheel doctor --json`` prints it."""
        return {"check": self.check, "state": self.state, "says": self.says, "fix": self.fix}


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The run that is asked about.

    Attributes:
        runtime: local, container or slurm.
        base: as the user names it.
        image: for the container.
        store: as the user names it, or None.
        folder: where the cycles are, for the disk's room.
        host: what this machine has.
    """

    runtime: str
    base: str
    image: str
    store: str | None
    folder: Path
    host: Hardware

    @property
    def contained(self) -> bool:
        """Whether training runs in a container."""
        return self.runtime == "container"

    def needs(self, *, local: bool) -> CheckStatus:
        """Return the status of a lack that matters to one of the runtimes only."""
        return CheckStatus.MISSING if local is not self.contained else CheckStatus.NOTE


def split_fix(error: Exception) -> tuple[str, str]:
    """Return what an error says, and its fix; "" where it names none."""
    says, _, fix = str(error).partition(" Fix: ")
    return says, fix
