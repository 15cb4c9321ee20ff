"""The mark of a purge that is under way, beside the cycles: nothing else may work on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

JOURNAL_NAME = ".asr-flywheel-purge.json"
"""What a purge has still to do; it is removed last."""


def is_purging(clinic: Path) -> bool:
    """Return whether a purge of a clinic, or of the one around it, has begun and not ended.

    ``labelled/cycle1`` is purged with the cycles beside ``labelled``.
    """
    return any((folder / JOURNAL_NAME).exists() for folder in (clinic, clinic.parent))
