"""Base and rows that the benchmarks of a training read: quiet noise, made-up words, a large graph.

Time and memory depend on neither words nor sounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from benchmarks.entrypoint_imports import parakeet_graph
from tasks.common import atomic_files
from tasks.data.split_parts import Split
from tasks.data.training_set import TrainingSet
from tasks.models import catalog

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

RATE = 16_000
_SYLLABLES = [c + v for c in "bdfgklmnprstv" for v in "aeiou"]


@dataclass(frozen=True)
class Rows:
    """The two manifests that both sides read."""

    data: TrainingSet
    folder: Path


def make_rows(folder: Path, train: int, validation: int, lengths: tuple[float, float]) -> Rows:
    """Write quiet noise and made-up words.

    Args:
        folder: where they go.
        train: rows to train on.
        validation: rows held out.
        lengths: the shortest and the longest row's seconds; all lengths between are as likely.
    """
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []
    for number in range(train + validation):
        seconds = round(float(rng.uniform(*lengths)), 3)
        audio = rng.normal(0, 300, int(seconds * RATE)).astype(np.int16)
        path = folder / "audio" / f"{number:05}.wav"
        soundfile.write(path, audio, RATE)
        words = ("".join(rng.choice(_SYLLABLES, 2)) for _ in range(int(2.5 * seconds)))
        lines.append({"audio_filepath": str(path), "duration": seconds, "text": " ".join(words)})
    train_file, validation_file = _sides(folder)
    atomic_files.write_jsonl(validation_file, lines[train:])
    atomic_files.write_jsonl(train_file, lines[:train])  # last: then all is there
    return read_rows(folder)


def _sides(folder: Path) -> tuple[Path, Path]:
    return folder / "train.jsonl", folder / "validation.jsonl"


def read_rows(folder: Path) -> Rows:
    """Read the rows that are in a folder."""
    sides = _sides(folder)
    train, validation = (atomic_files.read_jsonl(side) for side in sides)
    last = len(train) + len(validation)
    split = Split(tuple(range(len(train))), tuple(range(len(train), last)), ())
    durations = tuple(row["duration"] for row in train)
    return Rows(TrainingSet(*sides, split, durations, content="benchmark"), folder)


def prepare(folder: Path, args: argparse.Namespace) -> tuple[Path, Rows]:
    """Make base and rows in a folder, or take those that an earlier benchmark made there."""
    folder = folder.absolute()
    held_out = args.validation or max(8, args.rows // 20)
    lengths = args.shortest, args.seconds
    rows_in = folder / f"rows-{args.rows}-{held_out}-{lengths[0]:g}-{lengths[1]:g}"
    rows = (
        read_rows(rows_in)
        if (rows_in / "train.jsonl").is_file()
        else make_rows(rows_in, args.rows, held_out, lengths)
    )
    if args.tiny:
        return catalog.embedded_path(), rows
    base = folder / parakeet_graph.NAME
    if not base.is_file():
        (folder / "making").mkdir(exist_ok=True)
        parakeet_graph.make_model(folder / "making").replace(base)
    return base, rows
