"""New rows go into a folder that may hold an evaluation; neither touches the other."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.new_cycle import new_cycle
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write(target: Path, files: Mapping[str, str], *, ends_badly: bool = False) -> None:
    """Make a cycle of these files, or break off after they are written."""
    with new_cycle(target, 0o755) as work:
        for name, text in files.items():
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_text(text)
        if ends_badly:
            raise RuntimeError


def test_a_folder_with_an_evaluation_gets_the_rows_and_keeps_what_it_had(tmp_path: Path) -> None:
    """The run's files stay byte by byte."""
    target = tmp_path / "cycle2"
    (target / "figures").mkdir(parents=True)
    for name in ("run.json", "offline_hyps.jsonl", "figures/ker.png"):
        (target / name).write_text(name)
    before = factories.snapshot(target)
    write(target, {"audio/1.wav": "sound", "manifest.jsonl": "rows"})
    after = factories.snapshot(target)
    assert {name: after[name] for name in before} == before
    assert after["audio/1.wav"] == b"sound"
    assert after["manifest.jsonl"] == b"rows"
    assert [path.name for path in tmp_path.iterdir()] == ["cycle2"]


def test_a_broken_off_cycle_leaves_nothing(tmp_path: Path) -> None:
    """Neither in the folder nor beside it."""
    target = tmp_path / "cycle2"
    target.mkdir()
    with pytest.raises(RuntimeError):
        write(target, {"manifest.jsonl": "rows"}, ends_badly=True)
    assert factories.snapshot(tmp_path) == {"cycle2": "folder"}


@pytest.mark.parametrize("name", ["manifest.jsonl", "audio", "label.json"])
def test_rows_that_are_there_are_never_touched(tmp_path: Path, name: str) -> None:
    """The fix names the next free folder, and loses nothing."""
    (tmp_path / "cycle2").mkdir()
    (tmp_path / "cycle5").mkdir()
    (tmp_path / "cycle2" / name).write_text("mine")
    said = f"cycle2/{name}: is there already.*cycle6; this one keeps"
    with pytest.raises(InputError, match=said):
        write(tmp_path / "cycle2", {"manifest.jsonl": "rows"})
    assert (tmp_path / "cycle2" / name).read_text() == "mine"


def test_another_file_of_the_same_name_stops_it_before_anything_is_moved(tmp_path: Path) -> None:
    """A formulary that a person put there."""
    target = tmp_path / "cycle2"
    target.mkdir()
    (target / "formulary.txt").write_text("mine")
    before = factories.snapshot(tmp_path)
    with pytest.raises(InputError, match=r"formulary\.txt: is there already"):
        write(target, {"formulary.txt": "theirs", "manifest.jsonl": "rows"})
    assert factories.snapshot(tmp_path) == before


def test_marks_of_two_reviews_with_one_name_both_stay(tmp_path: Path) -> None:
    """The same marks are there once."""
    target = tmp_path / "cycle2"
    target.mkdir()
    (target / "review_cycle2.json").write_text("mine")
    (target / "review_cycle1.json").write_text("same")
    write(target, {"review_cycle2.json": "theirs", "review_cycle1.json": "same"})
    names = sorted(path.name for path in target.iterdir())
    assert names == ["review_cycle1.json", "review_cycle2-2.json", "review_cycle2.json"]
    assert (target / "review_cycle2.json").read_text() == "mine"


def test_a_cycle_from_a_source_that_nobody_may_write_can_be_written(tmp_path: Path) -> None:
    """Its owner scores and tunes it; others may do there what they may in the source."""
    with new_cycle(tmp_path / "cycle2", 0o555) as work:
        (work / "manifest.jsonl").write_text("")
    assert stat.S_IMODE((tmp_path / "cycle2").stat().st_mode) == 0o755
