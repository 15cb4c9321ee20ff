"""A cycle's folder: its number, its neighbours, and which evaluation counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.common.errors import InputError
from tasks.data.cycle_folder import clinic_names, clinic_of, open_cycle


def test_a_cycle_knows_its_files_and_neighbours(tmp_path: Path) -> None:
    """cycle9 is followed by cycle10, beside it."""
    (tmp_path / "cycle9").mkdir()
    cycle = open_cycle(tmp_path / "cycle9")
    assert cycle.number == 9
    assert cycle.manifest == tmp_path.resolve() / "cycle9" / "manifest.jsonl"
    assert cycle.next.number == 10
    assert cycle.next.path == tmp_path.resolve() / "cycle10"
    assert cycle.next.leaderboard == cycle.next.path / "leaderboard_cycle10.md"
    assert cycle.offline_hyps.name == "offline_hyps.jsonl"


def test_the_cycle_before_is_known_only_if_it_is_there(tmp_path: Path) -> None:
    """A clinic may start with any number."""
    (tmp_path / "cycle3").mkdir()
    assert open_cycle(tmp_path / "cycle3").previous is None
    (tmp_path / "cycle2").mkdir()
    before = open_cycle(tmp_path / "cycle3").previous
    assert before is not None
    assert before.number == 2


def test_an_imported_evaluation_goes_before_this_tools_own(tmp_path: Path) -> None:
    """per_sample.json was put there for this cycle."""
    folder = tmp_path / "cycle2"
    folder.mkdir()
    cycle = open_cycle(folder)
    assert cycle.find_baseline() is None
    (folder / "offline_hyps.jsonl").write_text("")
    assert cycle.find_baseline() == folder.resolve() / "offline_hyps.jsonl"
    (folder / "own_baseline.jsonl").write_text("")
    assert cycle.find_baseline() == folder.resolve() / "own_baseline.jsonl"
    (folder / "per_sample.json").write_text("")
    assert cycle.find_baseline() == folder.resolve() / "per_sample.json"


@pytest.mark.parametrize("name", ["data", "cycle", "Cycle1", "cycle1-old", "1", "cycle-1"])
def test_a_folder_by_another_name_is_refused(tmp_path: Path, name: str) -> None:
    """Without a number there is no next cycle."""
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="is named cycle1, cycle2"):
        open_cycle(tmp_path / name)


def test_a_missing_folder_is_bad_input(tmp_path: Path) -> None:
    """The name is right, the folder is not there; a file is no folder."""
    with pytest.raises(InputError, match="no such cycle folder"):
        open_cycle(tmp_path / "cycle1")
    (tmp_path / "cycle2").write_text("")
    with pytest.raises(InputError, match="no such cycle folder"):
        open_cycle(tmp_path / "cycle2")
    (tmp_path / "cycle3").mkdir()
    (tmp_path / "cycle3/manifest.jsonl").write_text("")
    with pytest.raises(InputError, match=r"Fix: name the cycle, .*/cycle3\.$"):
        open_cycle(tmp_path / "cycle3/manifest.jsonl")


def test_a_cycle_named_by_a_relative_path_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From inside the folder too."""
    folder = tmp_path / "cycle4"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert open_cycle(Path()).number == 4
    assert open_cycle(Path("../cycle4")).path == folder.resolve()


@pytest.mark.parametrize("name", ["cycle0", "cycle01", "cycle", "cycle-1", "Cycle1"])
def test_cycles_are_counted_from_one(tmp_path: Path, name: str) -> None:
    """Two spellings of one number would both lead to the same next cycle."""
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="named cycle1, cycle2"):
        open_cycle(tmp_path / name)


def test_formulary_is_found_where_it_is(cycle: Path) -> None:
    """A clinic's list lies in the cycle under one name."""
    assert open_cycle(cycle).find_formulary() is None
    (cycle / "formulary.txt").write_text("aspirin\n")
    assert open_cycle(cycle).find_formulary() == cycle / "formulary.txt"


def test_the_labelled_cycles_of_two_wards_have_two_names(tmp_path: Path) -> None:
    """The name that both had before is known too, to find what was kept under it."""
    names = []
    for ward in ("Ward 3", "Ward 4"):
        (tmp_path / ward / "labelled/cycle1").mkdir(parents=True)
        cycle = open_cycle(tmp_path / ward / "labelled/cycle1")
        names.append(clinic_of(cycle))
        assert clinic_names(cycle) == (clinic_of(cycle), "labelled")
    assert names == ["ward-3-labelled", "ward-4-labelled"]
    (tmp_path / "Ward 3/cycle1").mkdir()
    assert clinic_names(open_cycle(tmp_path / "Ward 3/cycle1")) == ("ward-3",)


def test_a_folder_that_is_not_there_is_not_to_be_renamed(tmp_path: Path) -> None:
    """Whatever its name: there is nothing to rename."""
    with pytest.raises(InputError, match=r"nothere: there is no such cycle folder\. Fix: name one"):
        open_cycle(tmp_path / "nothere")
