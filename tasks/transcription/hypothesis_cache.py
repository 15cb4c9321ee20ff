"""A cache of hypotheses, so that no recording is decoded twice.

A hypothesis depends on the model, on the program that decodes and on the recording, all three by
content, and on the shift under which it is decoded (tasks/transcription/variants.py). One folder a
model lies in the cycle's folder, one file a piece that was decoded together; a file's name holds
the hash of its bytes, so that a damaged one is not believed. Losing any of it costs time and
nothing else. Several workers may write at once: they write different files.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.common import atomic_files, hashing
from tasks.transcription.variants import key_fields, variant_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NAME_DIGITS = 32


@dataclass(frozen=True, slots=True)
class TranscriptStore:
    """The cached hypotheses of one cycle.

    Attributes:
        folder: made when something is kept.
        decoder: what decodes: the content of the program and of what it runs in.
        gone: SHA-256 of models whose files are gone; their hypotheses can still be read.
    """

    folder: Path
    decoder: str
    gone: Mapping[Path, str] = field(default_factory=dict)

    def read(self, model: Path) -> dict[str, str]:
        """Return hypotheses by ``variant_key``; empty where none are kept or readable."""
        hyps_by_recording: dict[str, str] = {}
        for path in sorted(self._model_folder(model).glob("*.jsonl")):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            if _digest(content) != path.stem:
                continue
            for line in content.decode().split("\n")[:-1]:
                row = json.loads(line)
                key = variant_key(row["audio_sha256"], row.get("shift", 0))
                hyps_by_recording[key] = row["hyp"]
        return hyps_by_recording

    def keep(self, model: Path, hyps_by_recording: Mapping[str, str]) -> None:
        """Store hypotheses beside those that are there.

        Raises:
            InputError: the folder cannot be written.
        """
        lines = [
            json.dumps({**key_fields(key), "hyp": hyps_by_recording[key]}, ensure_ascii=False)
            for key in sorted(hyps_by_recording)
        ]
        text = "".join(f"{line}\n" for line in lines)
        atomic_files.write_text(self._model_folder(model) / f"{_digest(text.encode())}.jsonl", text)

    def _model_folder(self, model: Path) -> Path:
        sha256 = self.gone.get(model) or hashing.sha256(model)
        name = hashing.fingerprint([sha256, self.decoder])
        return self.folder / name[:_NAME_DIGITS]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_NAME_DIGITS]
