"""How many verdicts the same held-out rows have given, in the cycle's own folder.

Who tries many recipes on the same held-out rows and keeps the best has chosen on them, whatever
each single verdict says. So each model that they judged is written down, and a reader is told. The
same model under other shifts is another verdict: who draws shifts until one keeps has chosen, too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.counted import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle

NAME = "verdicts.jsonl"
MANY = 3
"""From so many verdicts on, the report says how many there were."""


def record(
    cycle: Cycle,
    held_out: Iterable[str],
    model_sha256: str,
    verdict: str,
    *,
    before: int = 0,
    shifts: Sequence[int] = (0,),
) -> int:
    """Write a verdict down, each model under each shifts once, and return how many there are.

    Args:
        cycle: whose rows judged.
        held_out: their recordings' content hashes.
        model_sha256: of the model that was judged.
        verdict: on it.
        before: verdicts that the rows gave on the base and its ancestors.
        shifts: under which the rows were decoded.
    """
    path: Path = cycle.path / NAME
    rows = atomic_files.read_jsonl(path) if path.is_file() else []
    key = hashing.fingerprint(sorted(held_out))
    judged = (key, model_sha256, list(shifts))
    if judged not in map(_judged, rows):
        rows.append(
            {
                "held_out": key,
                "model_sha256": model_sha256,
                "shifts": list(shifts),
                "verdict": verdict,
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )
        atomic_files.write_jsonl(path, rows)
    return before + len([row for row in rows if row["held_out"] == key])


def last_on(clinic: Path, model: Path) -> tuple[str, dict[str, Any]] | None:
    """Return the newest verdict on a model, and the name of the cycle whose rows gave it.

    Args:
        clinic: the folder of cycles.
        model: its file.
    """
    ledgers = sorted(clinic.glob(f"cycle*/{NAME}"))
    if not ledgers:
        return None
    sha256 = hashing.sha256(model)
    found = []
    for path in ledgers:
        rows = [row for row in atomic_files.read_jsonl(path) if row.get("model_sha256") == sha256]
        # Within a file the order tells, also where the clock was set back.
        found += [(path.parent.name, row) for row in rows[-1:]]
    return max(found, key=lambda one: str(one[1].get("time", "")), default=None)


def _judged(row: dict[str, Any]) -> tuple[str, str, list[int]]:
    # A former version decoded each row once.
    return row["held_out"], row["model_sha256"], row.get("shifts", [0])


def remark(verdicts: int | None) -> str | None:
    """Say in words how often the held-out rows have judged; None where they have seldom."""
    if verdicts is None or verdicts < MANY:
        return None
    return (
        f"These held-out rows have given {counted(verdicts, 'verdict')}. The best of several "
        "models on the same rows looks better than it is: confirm it on recordings that have not "
        "judged before."
    )
