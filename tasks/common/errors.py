"""Exceptions that the command line reports without a traceback.

A refusal of the gate is not an error: it is a verdict, and travels as a value.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FlywheelError(Exception):
    """An error that the user can mend; the message names the object, the value and the fix."""


class InputError(FlywheelError):
    """Unusable user input, raised before any GPU second is spent."""


class TrainingError(FlywheelError):
    """Training ended without a usable model."""


class TranscriptionError(FlywheelError):
    """Transcription ended without a hypothesis for every row."""


class DiskFullError(FlywheelError, OSError):
    """A file could not be written for lack of room; what was there before is whole.

    It stays an OSError: who handles a full disk in an own way finds the number of it.
    """

    def __init__(self, wrong: OSError, place: Path | None = None) -> None:
        name = wrong.filename if place is None else place
        where = "" if name is None else f"{name}: "
        self.message = (
            f"{where}the disk is full ({wrong.strerror}). Fix: free space, and give the same "
            "command again; what is finished is used."
        )
        super().__init__(wrong.errno, wrong.strerror, None if name is None else str(name))

    def __str__(self) -> str:
        return self.message


def is_disk_full(wrong: OSError) -> bool:
    """Return whether an error says that there is no room, on the disk or in the user's share."""
    return wrong.errno in _FULL
