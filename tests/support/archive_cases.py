"""What several tests of this are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.records import archive

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.records.store import LocalStore


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
