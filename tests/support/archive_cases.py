"""A finished run of small files, kept in a store and read back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.data.cycle_folder import open_cycle
from tasks.records import archive
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.records.store import LocalStore


def finished_cycle(folder: Path) -> Cycle:
    """A cycle whose run is finished: audio, a model, and the next cycle's folder."""
    first = factories.make_cycle(folder / "My Clinic")
    model = first / "models" / "run" / "adapted_model.nemo"
    model.parent.mkdir(parents=True)
    model.write_bytes(os.urandom(1000))
    (first / "models" / "older").mkdir()
    (first / "models" / "older" / "adapted_model.nemo").write_bytes(b"older")
    (first / ".transcripts").mkdir()
    (first / ".transcripts" / "x.jsonl").write_text("{}")
    second = first.parent / "cycle2"
    second.mkdir()
    (second / "decision.json").write_text('{"decision": "keep"}')
    (second / "notes.txt").write_text("the user's own")
    record = {"files": {"decision.json": hashing.sha256_file(second / "decision.json")}}
    atomic_files.write_json(second / "run.json", record)
    return open_cycle(first)


def keep(store: LocalStore, cycle: Cycle, run: str = "run-1", **more: Any) -> archive.Kept:
    """Keep it."""
    model = cycle.path / "models" / "run" / "adapted_model.nemo"
    return archive.keep(store, cycle, run, model, "keep", **more)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
