"""The list of one shard's pieces: a JSON file in the cycle's folder, named by its content.

A worker on another host reads it, so the folder must be seen there under the same path. The list
is of use to one run only; what it names is kept in ``TranscriptStore``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.transcription import sharding
from tasks.transcription.audio_sets import AudioSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.transcription.audio_sets import Piece


def cut(pieces: Sequence[Piece], count: int) -> list[list[Piece]]:
    """Deal pieces out to at most so many shards of about equal length."""
    seconds = [sum(audio.durations) for _, audio in pieces]
    return [[pieces[number] for number in shard] for shard in sharding.deal(seconds, count)]


def write(folder: Path, shard: Sequence[Piece]) -> Path:
    """Write a shard's list.

    Raises:
        InputError: the folder cannot be written.
    """
    content = {
        "pieces": [
            {
                "model": str(model),
                "audio": [str(path) for path in audio.audio],
                "durations": audio.durations,
                "recordings": audio.recordings,
                "roots": [str(root) for root in audio.roots],
                "shifts": audio.shifts,
            }
            for model, audio in shard
        ]
    }
    text = json.dumps(content) + "\n"
    path = folder / f"{hashing.fingerprint(content)}.json"
    atomic_files.write_text(path, text)
    return path


def read(path: Path) -> list[Piece]:
    """Read a shard's list.

    Raises:
        InputError: it is not there, or is not what its name says.
    """
    content = atomic_files.read_json(path)
    if hashing.fingerprint(content) != path.stem:
        raise InputError(
            f"{path}: its content is not what its name says. Fix: start the transcription again; "
            "it writes the list anew and decodes only what is missing."
        )
    return [_piece(piece) for piece in content["pieces"]]


def _piece(piece: Mapping[str, Any]) -> Piece:
    audio = AudioSet(
        tuple(Path(name) for name in piece["audio"]),
        tuple(float(seconds) for seconds in piece["durations"]),
        tuple(piece["recordings"]),
        tuple(Path(name) for name in piece["roots"]),
        shifts=tuple(tuple(map(int, shifts)) for shifts in piece["shifts"]),
    )
    return Path(str(piece["model"])), audio
