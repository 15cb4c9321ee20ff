"""What results say once recordings that they rest on were purged: the figures stay, marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELD = "purged"
"""The field of run.json, decision.json, boost.json and a leaderboard's JSON."""


def add_purged(document: Mapping[str, Any], recordings: int, day: str) -> dict[str, Any]:
    """Return a result's document with so many more purged recordings.

    Args:
        document: run.json or another.
        recordings: that were purged now.
        day: of the purge, such as 2026-11-29.
    """
    before = document.get(FIELD) or {}
    total = int(before.get("recordings", 0)) + recordings
    return {**document, FIELD: {"recordings": total, "last": day}}


def describe_purged(document: Mapping[str, Any]) -> str | None:
    """Say that figures of a result rest on purged recordings; None where they do not."""
    purged = document.get(FIELD)
    if not isinstance(purged, dict) or not purged.get("recordings"):
        return None
    count = purged["recordings"]
    what = "1 recording" if count == 1 else f"{count} recordings"
    return (
        f"{what} of this run's cycle {'was' if count == 1 else 'were'} purged since, the last on "
        f"{purged.get('last')}. Figures that rest on them stay, and can no longer be recomputed."
    )
