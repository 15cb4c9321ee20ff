"""Put a new cycle's manifest and recordings into its folder, which may hold an evaluation already.

A run of cycle N leaves its evaluation in cycle N+1. That folder is still free for the rows of the
next month: neither the evaluation nor the rows are touched by the other.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data.cycle_folder import cycle_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANIFEST_NAME = "manifest.jsonl"
CONTENT = (
    *(MANIFEST_NAME, "audio", "provenance.jsonl", "import.json", "import_left_out.jsonl"),
    *("label.json", "general.jsonl", "terms_without_rows.csv", "combine.json"),
)
"""Names by which a folder has rows of its own; an evaluation has none of them."""


def refuse_content(target: Path) -> None:
    """Refuse a folder that has rows already; an evaluation alone is no hindrance.

    Raises:
        InputError: it has, or it is no folder.
    """
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise InputError(f"{target}: is no folder. Fix: name a cycle's folder.")
    for name in CONTENT:
        if os.path.lexists(target / name):
            raise _taken(target, name)


def _taken(target: Path, name: str) -> InputError:
    numbers = (cycle_number(path.name) for path in target.parent.glob("cycle*"))
    following = max((number for number in numbers if number is not None), default=0) + 1
    free = target.parent / f"cycle{following}"
    return InputError(
        f"{target / name}: is there already, and a cycle's rows are never changed in place. "
        f"Fix: name another folder, such as {free}; this one keeps what it has."
    )


@contextmanager
def new_cycle(target: Path, mode: int) -> Iterator[Path]:
    """Yield a hidden folder beside ``target``, whose content it gets if the block ends well.

    A folder that is not there appears when it is whole. In one that holds an evaluation the
    manifest appears last. A review that has the name of another one is put beside it.

    Args:
        target: the cycle's folder.
        mode: the rights of a folder that was not there.

    Raises:
        InputError: it cannot be written, or it has rows already.
    """
    refuse_content(target)
    if not target.exists():
        with atomic_files.new_folder(target, mode) as work:
            yield work
        return
    with atomic_files.hidden_folder(target) as work:
        yield work
        _fill(target, work)


def _fill(target: Path, work: Path) -> None:
    """Move everything into a folder that is there, the manifest last.

    Raises:
        InputError: something of the same name is there, and nothing was moved.
    """
    moves = []
    for path in sorted(work.iterdir(), key=lambda path: path.name == MANIFEST_NAME):
        place = target / path.name
        if os.path.lexists(place):
            if path.is_file() and place.is_file() and path.read_bytes() == place.read_bytes():
                continue
            if not path.name.startswith("review"):
                raise _taken(target, path.name)
            place = free_name(place)
        moves.append((path, place))
    for path, place in moves:
        path.replace(place)


def free_name(place: Path) -> Path:
    """Return the path, or where something has it, one with a number."""
    if not os.path.lexists(place):
        return place
    number = 2
    while os.path.lexists(free := place.with_stem(f"{place.stem}-{number}")):
        number += 1
    return free
