"""A tuned model with its list of recordings, and evaluations of the cycle it was tuned on."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from tasks.common import hashing
from tasks.data import audio_probe
from tasks.data.audio_probe import AudioFacts
from tasks.evaluation.hypotheses import Hypothesis, Partition, write_hypotheses
from tasks.training import run as training_run
from tasks.training.recording_roles import RecordingRoles
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def recording(path: Path) -> str:
    """The content hash of a recording."""
    fact = audio_probe.probe(path)
    assert isinstance(fact, AudioFacts)
    return fact.sha256


def tuned_model(cycle: Path, nemo: Path, trained: Sequence[int], chose: Sequence[int] = ()) -> Path:
    """A finished run's model, with its list of recordings and its record."""
    folder = cycle / "models" / "base-verified-1234"
    folder.mkdir(parents=True)
    model = folder / training_run.MODEL_NAME
    shutil.copyfile(nemo, model)
    info = {"schema_version": 1, "model_sha256": hashing.sha256_file(model)}
    (folder / training_run.INFO_NAME).write_text(json.dumps(info))
    RecordingRoles(
        frozenset(recording(cycle / f"audio/{number}.wav") for number in trained),
        frozenset(recording(cycle / f"audio/{number}.wav") for number in chose),
    ).write(folder)
    return model


def evaluation(
    path: Path,
    parts: Mapping[int, Partition],
    *,
    found: bool,
    names: Mapping[int, str] | None = None,
) -> Path:
    """An evaluation of the five drugs by a model that finds all of them, or none."""
    rows = [row for row in factories.cycle_rows() if row["entity_category"] == "drug"]
    write_hypotheses(
        path,
        [
            Hypothesis(
                (names or {}).get(number, row["audio_filepath"]),
                row["text"],
                row["text"] if found else "",
                row["term"],
                "drug",
                part=parts.get(number),
            )
            for number, row in enumerate(rows)
        ],
    )
    return path


def evaluations(
    cycle: Path,
    parts: Mapping[int, Partition] | None = None,
    names: Mapping[int, str] | None = None,
) -> tuple[Path, Path]:
    """The base misses every drug, the tuned model finds each."""
    return (
        evaluation(cycle / "before.jsonl", {}, found=False, names=names),
        evaluation(cycle / "after.jsonl", parts or {}, found=True, names=names),
    )


def manifest(path: Path, places: Sequence[int], **more: Any) -> Path:
    """A manifest of some of the cycle's rows."""
    rows = factories.cycle_rows()
    path.parent.mkdir(exist_ok=True)
    return factories.write_rows(path, [{**rows[place], **more} for place in places])
