"""Which kept models of a clinic are champion and candidate, by the history of its cycles."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tasks.data.cycle_folder import open_cycle
from tasks.records import run_record
from tasks.reporting.history import Turn, read_history

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
    kept = [turn for turn in history.turns if turn.kept]

    def sha256(turn: Turn | None) -> str | None:
        if turn is None:
            return None
        record = run_record.read(open_cycle(clinic / f"cycle{turn.cycle}"))
        return str(record["sft"]["model_sha256"])

    return {
        "champion": sha256(history.champion),
        "candidate": sha256(kept[-1] if kept else None),
        "decided": decided,
    }
