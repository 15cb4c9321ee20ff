"""What MLflow servers were sent of rows' texts: a purge does not reach it, and names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.data.cycle_folder import cycle_folders, open_cycle
from tasks.records.tracking.outbox import outboxes

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SentTexts:
    """The files with texts that a server has of one run.

    Attributes:
        uri: the server's address.
        experiment: the run's experiment there.
        run: its id there.
        files: their paths among the run's artifacts.
    """

    uri: str
    experiment: str
    run: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.uri}: run {self.run} of experiment {self.experiment} may still show it in "
            f"{', '.join(self.files)}. Delete the run there: mlflow runs delete --run-id "
            f"{self.run}, then on the server: mlflow gc --backend-store-uri URI "
            f"--run-ids {self.run}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "uri": self.uri,
            "experiment": self.experiment,
            "run": self.run,
            "files": list(self.files),
        }


def find_sent_texts(clinic: Path, changed: Collection[Path]) -> list[SentTexts]:
    """List what servers have of the runs on whose cycles a purge changes files.

    Args:
        clinic: the folder of cycles.
        changed: files that the purge changes or removes.
    """
    found = []
    for folder in cycle_folders(clinic):
        cycle = open_cycle(folder)
        places = (cycle.path, cycle.next.path)
        if any(path.is_relative_to(place) for path in changed for place in places):
            found += [
                SentTexts(state.uri, str(state.experiment), str(state.run), tuple(state.texts))
                for outbox in outboxes(cycle.path)
                for state in outbox.sent_states()
                if state.texts
            ]
    return found
