"""From transcripts to scored rows: which model said what, and which rows it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.evaluation.hypotheses import (
    OFFLINE_NAME,
    Hypothesis,
    Part,
    hypothesis_for,
    read_hypotheses,
)
from tasks.evaluation.scoring import Scores, score
from tasks.transcription.offline import AudioSet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.data.preflight import CheckedRow
    from tasks.data.split import Split
    from tasks.transcription.offline import Transcript


@dataclass(frozen=True, slots=True)
class Baseline:
    """A cycle's evaluation result, scored.

    Attributes:
        path: the file it came from.
        scores: its scores.
    """

    path: Path
    scores: Scores

    @property
    def imported(self) -> bool:
        """Whether another decoder than this tool's made it, such as a hosted endpoint's."""
        return self.path.name != OFFLINE_NAME

    @property
    def unseen(self) -> Scores:
        """The scores on rows that the model was not trained on, where it is known which those are.

        A tuned model's own evaluation holds trained rows; a gate that counted them would find
        little left to tune.
        """
        return self.scores.where(lambda row: row.row.part is not Part.TRAINED)

    @property
    def label(self) -> str:
        """How leaderboards name it."""
        return f"imported {self.path.name} (another decoder)" if self.imported else "offline"


def read_baseline(path: Path) -> Baseline:
    """Read and score an evaluation result.

    Raises:
        InputError: it cannot be read; names the row.
    """
    return Baseline(path, score(read_hypotheses(path)))


def audio_set(rows: Sequence[CheckedRow], roots: tuple[Path, ...]) -> AudioSet:
    """The audio of checked rows, in their order; ``roots`` are the folders that hold it."""
    return AudioSet(
        tuple(row.audio for row in rows),
        tuple(row.utterance.duration or 0.0 for row in rows),
        tuple(row.audio_sha256 for row in rows),
        roots,
    )


def hypotheses(
    rows: Sequence[CheckedRow], transcript: Transcript, split: Split | None = None
) -> tuple[Hypothesis, ...]:
    """The evaluation rows of a transcript; with a split, each says whether it was trained on."""
    return tuple(
        hypothesis_for(row.utterance, text, _part(row, split))
        for row, text in zip(rows, transcript.hypotheses, strict=True)
    )


def _part(row: CheckedRow, split: Split | None) -> Part | None:
    if split is None:
        return None
    return Part.HELD_OUT if row.utterance.row in split.held_out else Part.TRAINED
