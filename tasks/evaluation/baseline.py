"""Baseline evaluations: transcripts, scored, with the rows that the model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.data.cycle_folder import OFFLINE_NAME, OWN_BASELINE_NAME, RUN_NAMES, Cycle
from tasks.evaluation.result_reading import read_results
from tasks.evaluation.scoring import Scores, score

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Baseline:
    """A cycle's evaluation result, scored.

    Attributes:
        path: the file it came from.
        scores: its scores.
        notes: what a user should know of the file.
    """

    path: Path
    scores: Scores
    notes: tuple[str, ...] = ()

    @property
    def imported(self) -> bool:
        """Whether another decoder than this tool's made the result, such as a hosted endpoint."""
        # A row that was decoded here has the hash of its samples, whatever its file's name is; of
        # earlier versions' rows only the names tell.
        return self.path.name not in {OFFLINE_NAME, OWN_BASELINE_NAME, *RUN_NAMES} and any(
            row.row.audio_sha256 is None for row in self.scores.rows
        )

    @property
    def model_sha256(self) -> str | None:
        """The hash of the model that all rows are of; None where they do not say, or differ."""
        named = {row.row.model_sha256 for row in self.scores.rows}
        return named.pop() if len(named) == 1 else None

    @property
    def unseen(self) -> Scores:
        """The scores on rows that the model has not seen, where it is known which those are.

        A tuned model's own evaluation holds trained rows; a gate that counted them would find
        little left to tune.
        """
        return self.scores.where(lambda row: row.row.is_unseen)

    @property
    def label(self) -> str:
        """The baseline's name in leaderboards."""
        return f"imported {self.path.name} (another decoder)" if self.imported else "offline"


def read_baseline(path: Path) -> Baseline:
    """Read and score an evaluation result.

    Raises:
        InputError: it cannot be read; names the row.
    """
    rows, notes = read_results(path)
    return Baseline(path, score(rows), notes.lines())


def find_baseline(cycle: Cycle, named: Path | None) -> Baseline | None:
    """Return the named evaluation result, else the cycle folder's, else None.

    Raises:
        InputError: it cannot be read.
    """
    path = named or cycle.find_baseline()
    return None if path is None else read_baseline(path.expanduser())
