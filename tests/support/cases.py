"""The cases from public threads, tests/cases."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "cases"


def case(name: str) -> Path:
    """The folder of a case."""
    folder = _FOLDER / name
    assert folder.is_dir(), folder
    return folder
