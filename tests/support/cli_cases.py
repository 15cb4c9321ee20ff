"""An evaluated cycle for commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.evaluation.hypotheses import write_hypotheses
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


def evaluated_cycle(folder: Path, rows: int = 120, missed: int = 42) -> Path:
    """A cycle with a manifest and a baseline of 100 rows, whose audio is not there."""
    folder.mkdir(parents=True)
    factories.write_rows(
        folder / "manifest.jsonl",
        [
            {
                "audio_filepath": f"audio/{place}.wav",
                "text": f"please give aspirin to the patient in room {place}",
                "term": "aspirin",
                "entity_category": "drug",
            }
            for place in range(rows)
        ],
    )
    write_hypotheses(folder / "offline_hyps.jsonl", factories.evaluated(missed, 100))
    return folder
