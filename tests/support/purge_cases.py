"""A small clinic without a run: two cycles with rows, results and pages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tasks.data.cycle_folder import open_cycle
from tasks.privacy.purge import PurgeRequest
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

GOES = "the porter brought mister heffalump upstairs with chest pain"
STAYS = "the porter brought somebody else downstairs with chest pain"


def make_clinic(folder: Path) -> Path:
    """Cycle 1 with three rows, of which the first goes, and what refers to them in cycle 2."""
    cycle = folder / "cycle1"
    (cycle / "audio").mkdir(parents=True)
    for number in range(3):
        factories.write_wav(cycle / f"audio/{number}.wav", 0.1, seed=number)
    texts = (GOES, STAYS, "aspirin was given at noon")
    rows = [
        {"audio_filepath": f"audio/{n}.wav", "text": text, "voice_id": f"doctor-{n % 2}"}
        for n, text in enumerate(texts)
    ]
    factories.write_rows(cycle / "manifest.jsonl", rows)
    hyps = [
        {**row, "ref": row["text"], "hyp": row["text"].replace("chest", "jest")} for row in rows
    ]
    factories.write_rows(cycle / "offline_hyps.jsonl", hyps)
    (cycle / "models/run").mkdir(parents=True)
    (cycle / "models/run/training.log").write_text(f"start\nreference: {GOES}\nend\n")
    return cycle


def request(cycle: Path, **asked: str) -> PurgeRequest:
    """A request to purge."""
    return PurgeRequest(open_cycle(cycle), **asked)  # type: ignore[arg-type]  # by its name


def read_rows(path: Path) -> list[str]:
    """The texts of a file of rows."""
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]
