"""Measure a base model on the held-out English sentences and on the clinical benchmark.

Run ``python -m base_training.evaluate MODEL.nemo --work DIR``: it synthesises both sets, has
the model transcribe them on the CPU, and prints the figures that the model card quotes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import jiwer
from nemo.collections.asr.models import ASRModel

from asr_flywheel.demo.dataset import (
    first_general_sentences,
    synthesise_cycle,
    synthesise_general,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class BaseHypothesis:
    """A manifest row and what the model heard."""

    row: dict[str, str]
    heard: str

    @property
    def missed(self) -> bool:
        """True if the hypothesis lacks the row's term as whole words in order."""
        return not re.search(rf"\b{re.escape(self.row['term'])}\b", self.heard)


def transcribe(model: ASRModel, manifest: Path, batch_size: int = 16) -> list[BaseHypothesis]:
    """Transcribe each row of a manifest."""
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    audio = [str(manifest.parent / row["audio_filepath"]) for row in rows]
    results = model.transcribe(audio, batch_size=batch_size, verbose=False)
    return [BaseHypothesis(row, result.text) for row, result in zip(rows, results, strict=True)]


def pooled(
    metric: Callable[[list[str], list[str]], float], rows: Sequence[BaseHypothesis]
) -> float:
    """Compute an error rate over all words or characters of some rows together."""
    return float(metric([row.row["text"] for row in rows], [row.heard for row in rows]))


def figures(general: Sequence[BaseHypothesis], clinical: Sequence[BaseHypothesis]) -> str:
    """Format the figures as a Markdown table."""
    # The cards' figures are of the first sentences; those that were added later stand alone.
    first = len(first_general_sentences())
    lines = ["| rows | n | WER | CER | KER |", "|---|---|---|---|---|"]
    for name, rows in (
        ("general English, clean", general[:first]),
        ("general English, clean, the sentences added later", general[first:]),
    ):
        lines.append(
            f"| {name} | {len(rows)} | {pooled(jiwer.wer, rows):.3f} "
            f"| {pooled(jiwer.cer, rows):.3f} | |"
        )
    groups: defaultdict[str, list[BaseHypothesis]] = defaultdict(list)
    for row in clinical:
        groups["all clinical rows"].append(row)
        groups[f"noise: {row.row['noise_level']}"].append(row)
        groups[f"category: {row.row['entity_category']}"].append(row)
    for name, rows in sorted(groups.items()):
        lines.append(
            f"| {name} | {len(rows)} | {pooled(jiwer.wer, rows):.3f} "
            f"| {pooled(jiwer.cer, rows):.3f} | {mean(row.missed for row in rows):.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Synthesise, transcribe, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="receives audio and hypotheses")
    args = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    clinical_manifest = synthesise_cycle(args.work / "clinical")
    general_manifest = synthesise_general(args.work / "general")
    model = ASRModel.restore_from(str(args.model), map_location="cpu")
    started = time.monotonic()
    general = transcribe(model, general_manifest)
    clinical = transcribe(model, clinical_manifest)
    seconds = time.monotonic() - started
    print(figures(general, clinical))
    speech = sum(float(row.row["duration"]) for row in (*general, *clinical))
    print(f"\n{speech:.0f} s of speech transcribed in {seconds:.0f} s")
    with (args.work / "heard.jsonl").open("w", encoding="utf-8") as file:
        for row in (*general, *clinical):
            file.write(json.dumps({**row.row, "heard": row.heard}) + "\n")


if __name__ == "__main__":
    main()
