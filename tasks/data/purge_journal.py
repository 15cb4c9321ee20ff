"""The mark of a purge that is under way, beside the cycles: nothing else may work on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

JOURNAL_NAME = ".asr-flywheel-purge.json"
"""What a purge has still to do; it is removed last."""


def is_purging(clinic: Path) -> bool:
    """Return whether a purge of a clinic has begun and not ended."""
    return (clinic / JOURNAL_NAME).exists()
