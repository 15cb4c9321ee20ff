"""The figures of what is served, as validate-serving left them beside a run's evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.common.schemas import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.data.cycle_folder import Cycle

PARITY_NAME = "serving_parity_edge.json"
TUNED = "tuned"
"""The role of the model that a run ends with."""


@dataclass(frozen=True, slots=True)
class ServedFigures:
    """What was found of the bundles of a run's models.

    Attributes:
        rows: which rows judged: held-out or all.
        arms: figures of NeMo, of each bundle and of its server, with intervals.
        sentences: what the paired tests say of each pair.
        bundles: for each bundle its name, verdict, size, texts to the letter and causes.
    """

    rows: str
    arms: Sequence[Mapping[str, Any]]
    sentences: Sequence[str]
    bundles: Sequence[Mapping[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as ``asr-flywheel history --json`` prints them."""
        return {
            "rows": self.rows,
            "arms": [dict(arm) for arm in self.arms],
            "sentences": list(self.sentences),
            "bundles": [dict(bundle) for bundle in self.bundles],
        }


def read_served(cycle: Cycle, record: Mapping[str, Any]) -> ServedFigures | None:
    """Read what validate-serving found of a run's bundles.

    Args:
        cycle: that holds the run's evaluation.
        record: of the run.

    Returns:
        The figures; None where nothing was validated, or another run's model was.

    Raises:
        InputError: the file is damaged.
    """
    path = cycle.path / PARITY_NAME
    if not path.is_file():
        return None
    found = atomic_files.read_json(path)
    Schema.SERVING_PARITY.check(found, path)
    try:
        bundles = [_bundle(one) for one in found["bundles"]]
        verdict = found["served_verdict"]
        figures = ServedFigures(
            str(verdict["rows"]),
            tuple(verdict["arms"]),
            tuple(str(one["sentence"]) for one in verdict["comparisons"]),
            tuple(bundles),
        )
    except (KeyError, TypeError) as wrong:
        raise InputError(
            f"{path}: lacks what validate-serving writes ({wrong!r}); it may be damaged. Fix: run "
            "`asr-flywheel validate-serving CYCLE --bundle FOLDER` again."
        ) from wrong
    # A later run of the same cycle leaves this file, which is of the former model.
    model = record["sft"]["model_sha256"]
    tuned = [one for one in bundles if one["role"] == TUNED]
    return figures if all(one["source_sha256"] == model for one in tuned) else None


def _bundle(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str(found["name"]),
        "role": str(found["role"]),
        "source_sha256": str(found["source_sha256"]),
        "verdict": str(found["verdict"]),
        "bytes": int(found["bytes"]),
        "equal_texts": int(found["equal_texts"]),
        "rows": int(found["rows"]),
        "causes": {str(one["cause"]): int(one["rows"]) for one in found["causes"]},
    }
