"""Which kept models of a clinic are champion and candidate, by the history of its cycles."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tasks.reporting.history import read_history

if TYPE_CHECKING:
    from pathlib import Path


def standing(clinic: Path) -> dict[str, Any]:
    """Return the SHA-256 of champion and candidate, and the time in milliseconds.

    The champion is that of ``asr-flywheel history``, the candidate the newest kept model. Both are
    None where no model was kept.

    Args:
        clinic: the folder of cycles.
    """
    decided = time.time_ns() // 10**6
    history = read_history(clinic)
    champion, kept = history.champion, history.kept
    return {
        "champion": None if champion is None else champion.sha256,
        "candidate": kept[-1].sha256 if kept else None,
        "decided": decided,
    }
