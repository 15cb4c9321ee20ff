"""Recordings to be imported, with their texts and places, and the check that rows equal them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.support import corpora
from tests.support.corpora import samples, speech, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.corpora import Samples

TEXTS = ("take aspirin now", "hold the metformin, please", "no known allergies")
SPANS = ((0.25, 1.5), (1.75, 3.0), (3.5, 4.875))


def voices(folder: Path, ending: str = "wav") -> list[Samples]:
    """Three recordings, 0 to 2, and their samples."""
    made = [speech(0.6 + 0.1 * number, seed=number) for number in range(3)]
    for number, voice in enumerate(made):
        write(folder / f"{number}.{ending}", voice)
    return made


def consultation(folder: Path, name: str = "visit.wav") -> list[Samples]:
    """A recording with three utterances, and their samples."""
    whole = speech(5.5, seed=7)
    write(folder / name, whole)
    return [whole[round(start * 16000) : round(end * 16000)] for start, end in SPANS]


def check(cycle: Path, expected: list[Samples], texts: tuple[str, ...] = TEXTS) -> None:
    """The rows are equal to the source in text and in samples."""
    assert tuple(row["text"] for row in corpora.rows(cycle)) == texts
    for row, voice in enumerate(expected):
        assert np.array_equal(samples(cycle, row), voice), row
