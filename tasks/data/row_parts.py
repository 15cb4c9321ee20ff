"""Rows that are a part of a recording: NeMo cuts at ``offset``, and a row here is a whole file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tasks.data import findings

if TYPE_CHECKING:
    from tasks.data.findings import ManifestFinding

OFFSET = "offset"
CUT_PARTS = (
    "`asr-flywheel import MANIFEST cycleN` cuts each part into a file of its own; use that cycle"
)
"""The command that makes rows of whole recordings from rows with an offset."""
IF_PARTS = (
    f"Where the text is that of a part, write the second at which it begins as offset; {CUT_PARTS}"
)


def starts_later(value: object) -> bool:
    """Return whether a row's offset names a part by itself; with 0, its duration decides."""
    return value is not None and value != 0


def part_finding(number: int, value: object) -> ManifestFinding:
    """Return the finding on a row that names a part of its recording."""
    fix = CUT_PARTS if _is_moment(value) else "write the second at which the part begins, or null"
    problem = "offset names a part of a recording, and a row here is a whole one"
    return findings.error("audio-segment", number, value, problem, fix)


def _is_moment(value: object) -> bool:
    """Return whether the import can cut at an offset; it reads numbers in quotation marks too."""
    if isinstance(value, bool):
        return False
    try:
        seconds = float(str(value))
    except ValueError:
        return False
    return 0 <= seconds < math.inf
