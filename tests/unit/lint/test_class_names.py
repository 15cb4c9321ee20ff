"""The check that a class name means one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lint import class_names

if TYPE_CHECKING:
    from pathlib import Path


def test_a_name_in_two_packages_is_found(tmp_path: Path) -> None:
    """With both places; a name that is there once is not."""
    for name, text in (
        ("tasks/a.py", "class Row: ...\nclass Once: ...\n"),
        ("flows/b.py", "\nclass Row: ...\n"),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    assert class_names.doubled(tmp_path) == {"Row": ["flows/b.py:2", "tasks/a.py:1"]}
