"""New rows go into a folder that may hold an evaluation; neither touches the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.new_cycle import new_cycle
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_with_an_evaluation_gets_the_rows_and_keeps_what_it_had(tmp_path: Path) -> None:
    """The run's files stay byte by byte."""
    target = tmp_path / "cycle2"
    (target / "figures").mkdir(parents=True)
    for name in ("run.json", "offline_hyps.jsonl", "figures/ker.png"):
        (target / name).write_text(name)
    before = factories.snapshot(target)
    with new_cycle(target, 0o755) as work:
        (work / "audio").mkdir()
        (work / "audio/1.wav").write_text("sound")
        (work / "manifest.jsonl").write_text("rows")
    after = factories.snapshot(target)
    assert {name: after[name] for name in before} == before
    assert after["audio/1.wav"] == b"sound"
    assert after["manifest.jsonl"] == b"rows"
    assert [path.name for path in tmp_path.iterdir()] == ["cycle2"]


def test_a_broken_off_cycle_leaves_nothing(tmp_path: Path) -> None:
    """Neither in the folder nor beside it."""
    target = tmp_path / "cycle2"
    target.mkdir()
    with pytest.raises(RuntimeError), new_cycle(target, 0o755) as work:
        (work / "manifest.jsonl").write_text("rows")
        raise RuntimeError
    assert factories.snapshot(tmp_path) == {"cycle2": "folder"}


@pytest.mark.parametrize("name", ["manifest.jsonl", "audio", "label.json"])
def test_rows_that_are_there_are_never_touched(tmp_path: Path, name: str) -> None:
    """The fix names the next free folder, and loses nothing."""
    (tmp_path / "cycle2").mkdir()
    (tmp_path / "cycle5").mkdir()
    (tmp_path / "cycle2" / name).write_text("mine")
    with (
        pytest.raises(InputError, match=f"cycle2/{name}: is there already.*cycle6; this one keeps"),
        new_cycle(tmp_path / "cycle2", 0o755),
    ):
        pytest.fail("nothing may be written")


def test_another_file_of_the_same_name_stops_it_before_anything_is_moved(tmp_path: Path) -> None:
    """A formulary that a person put there."""
    target = tmp_path / "cycle2"
    target.mkdir()
    (target / "formulary.txt").write_text("mine")
    before = factories.snapshot(tmp_path)
    with (
        pytest.raises(InputError, match=r"formulary\.txt: is there already"),
        new_cycle(target, 0o755) as work,
    ):
        (work / "formulary.txt").write_text("theirs")
        (work / "manifest.jsonl").write_text("rows")
    assert factories.snapshot(tmp_path) == before


def test_marks_of_two_reviews_with_one_name_both_stay(tmp_path: Path) -> None:
    """The same marks are there once."""
    target = tmp_path / "cycle2"
    target.mkdir()
    (target / "review_cycle2.json").write_text("mine")
    (target / "review_cycle1.json").write_text("same")
    with new_cycle(target, 0o755) as work:
        (work / "review_cycle2.json").write_text("theirs")
        (work / "review_cycle1.json").write_text("same")
    names = sorted(path.name for path in target.iterdir())
    assert names == ["review_cycle1.json", "review_cycle2-2.json", "review_cycle2.json"]
    assert (target / "review_cycle2.json").read_text() == "mine"
