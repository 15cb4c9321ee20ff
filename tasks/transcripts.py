"""Hypotheses that were made before, so that nothing is decoded twice.

A hypothesis depends on the model, on the program that decodes and on the recording, all three by
content. One file a model lies in the cycle's folder; losing it costs time and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks import files, hashes
from tasks.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class TranscriptStore:
    """The kept hypotheses of one cycle.

    Attributes:
        folder: made when something is kept.
        decoder: what decodes: the content of the program and of what it runs in.
    """

    folder: Path
    decoder: str

    def read(self, model: Path) -> dict[str, str]:
        """Hypotheses by the recordings' hashes; empty where none are kept, or none can be read."""
        try:
            rows = files.read_jsonl(self._file(model))
            return {row["audio_sha256"]: row["hyp"] for row in rows}
        except (InputError, KeyError):
            return {}

    def keep(self, model: Path, found: Mapping[str, str]) -> None:
        """Keep these hypotheses beside those that are there.

        Raises:
            InputError: the folder cannot be written.
        """
        rows = {**self.read(model), **found}
        files.write_jsonl(
            self._file(model),
            ({"audio_sha256": recording, "hyp": text} for recording, text in rows.items()),
        )

    def _file(self, model: Path) -> Path:
        name = files.fingerprint([hashes.sha256(model), self.decoder])
        return self.folder / f"{name[:32]}.jsonl"
