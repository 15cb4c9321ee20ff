"""Cycles whose evaluation is what a bundle of bands writes: parity without NeMo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soundfile

from tasks.data.cycle_folder import open_cycle
from tasks.evaluation.hypotheses import hypothesis_for, write_hypotheses
from tasks.models.catalog import embedded_path
from tasks.serving import validation
from tasks.serving.edge import recognizers
from tasks.serving.edge.bundle import open_bundle
from tests.support import band_bundles, factories

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.serving.validation import ValidationPlan

ROWS, RATE = 8, 16000
TERMS = ("heparin", "warfarin")


def make(parent: Path, subtype: str = "PCM_16") -> tuple[Path, Path]:
    """Make a cycle of noise with the evaluation that a bundle would write of it.

    Args:
        parent: of both folders.
        subtype: of the recordings' samples.

    Returns:
        The cycle's folder and the bundle's.
    """
    cycle, bundle = parent / "cycle1", band_bundles.write_bundle(parent / "bundle")
    (cycle / "audio").mkdir(parents=True)
    noise = np.random.default_rng(5)
    rows = []
    for place in range(ROWS):
        name = f"audio/{place}.wav"
        seconds = 1 + 0.1 * place
        sound = noise.normal(size=round(RATE * seconds)) * 0.1
        soundfile.write(cycle / name, sound, RATE, subtype=subtype)
        term = TERMS[place % len(TERMS)]
        rows.append(
            {
                "audio_filepath": name,
                "text": f"{term} was given to patient {place}",
                "duration": seconds,
                "term": term,
                "entity_category": "drug",
            }
        )
    factories.write_rows(cycle / "manifest.jsonl", rows)
    opened = open_cycle(cycle)
    opened.offline_hyps.touch()
    recognizer = recognizers.load(open_bundle(bundle))
    evaluated = []
    for row in plan(cycle).rows:
        samples, at = recognizers.read_samples(row.audio)
        evaluated.append(hypothesis_for(row.utterance, recognizer.recognise(samples, at)))
    write_hypotheses(opened.offline_hyps, evaluated)
    return cycle, bundle


def plan(cycle: Path) -> ValidationPlan:
    """What is compared; the .nemo is any, since none of these rows needs NeMo."""
    return validation.plan(open_cycle(cycle), model=embedded_path())
