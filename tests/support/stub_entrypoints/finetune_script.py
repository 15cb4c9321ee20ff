"""What the stub's model is: how well it does, and the .nemo that says so."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

PARAMETERS = 1000
NOTE = "stub.json"
_WEIGHTS = "model_weights.ckpt"
_BASE_RECALL = 0.3
"""The share of terms that a base writes right."""


def recall(epochs: int, *, trained: bool, value: float = 1.0) -> float:
    """Return the share of terms that a model writes right after some epochs; trained rows more.

    Of a mixture with the base it is that much less as its value is under 1.
    """
    most = 0.95 if trained else 0.85
    return _BASE_RECALL + value * (most - _BASE_RECALL) * (1 - 0.4**epochs)


def word_error_rate(epochs: int) -> float:
    """Return the validation's WER: one word in ten is a term."""
    return round((1 - recall(epochs, trained=False)) / 10, 4)


def named(word: str) -> str:
    """Return how a note has a name or a hash: real models do not hold them either."""
    return hashlib.sha256(word.encode()).hexdigest()[:16]


def read_note(model: Path) -> dict[str, Any]:
    """Return what a model was trained on, the hash by the name; nothing for a base."""
    with tarfile.open(model, "r:*") as archive:
        for member in archive:
            if member.name.removeprefix("./") == NOTE and (stream := archive.extractfile(member)):
                return dict(json.loads(stream.read()))
    return {"epochs": 0, "seed": 0, "trained": {}, "value": 1.0}


def write_model(
    base: Path, out: Path, epochs: int, seed: int, trained: dict[str, str], value: float = 1.0
) -> None:
    """Write a .nemo of the base's configuration and tokenizer, and the note; without tensors."""
    before = read_note(base)
    note = {
        "epochs": before["epochs"] + epochs,
        "seed": seed,
        "trained": before["trained"] | {named(name): named(one) for name, one in trained.items()},
        "value": value,
    }
    members = {NOTE: json.dumps(note, sort_keys=True).encode(), _WEIGHTS: _no_tensors()}
    part = out.with_name(out.name + ".part")
    with tarfile.open(base, "r:*") as source, tarfile.open(part, "w") as archive:
        for member in source:
            name = member.name.removeprefix("./")
            if member.isreg() and name not in members:
                archive.addfile(member, source.extractfile(member))
        for name, content in members.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    part.replace(out)


def _no_tensors() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in {"data.pkl": pickle.dumps({}, protocol=2), "version": b"3\n"}.items():
            # With a time of its own each writing would have another hash.
            archive.writestr(zipfile.ZipInfo(f"model_weights/{name}"), data)
    return content.getvalue()
