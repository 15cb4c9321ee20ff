"""Folders of jobs: gone afterwards, and those of killed processes with the next job."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

import pytest

from tasks.common.work_folders import remove_abandoned, work_folder

if TYPE_CHECKING:
    from pathlib import Path


def abandoned(parent: Path, name: str, *, locked: bool = True, age_s: float = 0) -> Path:
    """A folder with a text, as a process leaves it that was killed."""
    folder = parent / name
    folder.mkdir()
    (folder / "0.jsonl").write_text("a patient's words")
    if locked:
        (folder / ".in-use").touch()
    os.utime(folder, (time.time() - age_s,) * 2)
    return folder


def test_a_folder_is_gone_after_its_block(tmp_path: Path) -> None:
    """Also where the block fails."""
    with work_folder(tmp_path, ".work-") as folder:
        (folder / "text").write_text("words")
        assert folder.parent == tmp_path
    with pytest.raises(ValueError, match="broken"), work_folder(tmp_path, ".work-"):
        raise ValueError("broken")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """Whoever works now keeps its folder, and other kinds stay."""
    left = abandoned(tmp_path, ".work-left")
    old = abandoned(tmp_path, ".work-old", locked=False, age_s=2 * 86400)
    being_made = abandoned(tmp_path, ".work-new", locked=False)
    other = abandoned(tmp_path, ".joined-left")
    held = abandoned(tmp_path, ".work-held")
    link = tmp_path / ".work-link"
    link.symlink_to(other)
    with (held / ".in-use").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with work_folder(tmp_path, ".work-") as mine:
            remove_abandoned(tmp_path, ".work-")
            kept = {held, being_made, other, link, mine}
            assert set(tmp_path.iterdir()) == kept
            assert (other / "0.jsonl").is_file()
    assert not left.exists()
    assert not old.exists()
    remove_abandoned(tmp_path, ".work-")
    assert not held.exists()
