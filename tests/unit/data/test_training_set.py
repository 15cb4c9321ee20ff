"""The training copies: the right rows on each side, in the base's style, beside the manifest."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.manifest import parse_manifest
from tasks.data.preflight import CheckedRow, preflight
from tasks.data.split_parts import Disjointness
from tasks.data.training_set import (
    TrainingSet,
    counts,
    fold_checked,
    split_checked,
    write_training_set,
)
from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import style_of
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


def checked(folder: Path, nemo: Path) -> tuple[CheckedRow, ...]:
    """The rows of a sound cycle."""
    result = preflight(folder / "manifest.jsonl", AudioLimits(16000), style_of(open_archive(nemo)))
    result.raise_errors()
    return result.rows


def written(folder: Path, nemo: Path, seed: int = 42) -> TrainingSet:
    """Split and write."""
    rows = checked(folder, nemo)
    return write_training_set(folder, rows, split_checked(rows, fraction=0.2, seed=seed))


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_row_goes_to_one_copy_with_a_path_that_resolves(cycle: Path, lower_nemo: Path) -> None:
    """Ten rows, one of each category held out; the manifest and the audio stay as they are."""
    before = factories.snapshot(cycle)
    data = written(cycle, lower_nemo)
    after = factories.snapshot(cycle)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"train.jsonl", "validation.jsonl"}
    train, validation = read(data.train), read(data.validation)
    assert (len(train), len(validation)) == (8, 2)
    assert {row["entity_category"] for row in validation} == {"drug", "procedure"}
    places = [row["audio_filepath"] for row in train + validation]
    assert sorted(places) == [str(cycle.resolve() / f"audio/{n}.wav") for n in range(10)]
    assert all(row["duration"] == 0.3 for row in train + validation)
    assert data.durations == (0.3,) * 8
    held_out = {number - 1 for number in data.split.validation}
    assert {row["text"] for row in validation} == {
        row["text"] for place, row in enumerate(factories.cycle_rows()) if place in held_out
    }


def test_the_copies_are_written_in_the_bases_style(cycle: Path, lower_nemo: Path) -> None:
    """Capitals and marks go from the copies, other fields stay as the user wrote them."""
    rows = factories.cycle_rows()
    for row in rows:
        row["text"] = row["text"].replace("the", "The") + "."
        row["note"] = {"Kept": "As It Is."}
    factories.write_rows(cycle / "manifest.jsonl", rows)
    data = written(cycle, lower_nemo)
    copies = read(data.train) + read(data.validation)
    assert {row["text"] for row in copies} == {row["text"] for row in factories.cycle_rows()}
    assert all(row["note"] == {"Kept": "As It Is."} for row in copies)


def test_paths_may_be_those_of_another_place(cycle: Path, lower_nemo: Path) -> None:
    """A container knows the audio by other names."""
    rows = checked(cycle, lower_nemo)
    split = split_checked(rows, fraction=0.2, seed=42)
    data = write_training_set(cycle, rows, split, lambda row: f"/workspace/{row.audio.name}")
    assert all(row["audio_filepath"].startswith("/workspace/") for row in read(data.train))


def test_the_fingerprint_of_the_data_depends_on_nothing_but_the_data(
    cycle: Path, lower_nemo: Path, tmp_path: Path
) -> None:
    """Another folder and another order give the same; another seed or word another."""
    first = written(cycle, lower_nemo).content
    other = tmp_path / "elsewhere" / "cycle7"
    shutil.copytree(cycle, other)
    factories.write_rows(other / "manifest.jsonl", reversed(factories.cycle_rows()))
    assert written(other, lower_nemo).content == first
    assert written(other, lower_nemo, seed=1).content != first
    rows = factories.cycle_rows()
    rows[0]["text"] += " now"
    factories.write_rows(other / "manifest.jsonl", rows)
    assert written(other, lower_nemo).content != first


def test_one_recording_under_two_names_stays_on_one_side(cycle: Path, lower_nemo: Path) -> None:
    """Whatever the seed, by its samples, not by its name."""
    shutil.copy(cycle / "audio/0.wav", cycle / "audio/again.wav")
    rows = factories.cycle_rows()
    rows.append({**rows[0], "audio_filepath": "audio/again.wav"})
    factories.write_rows(cycle / "manifest.jsonl", rows)
    good = checked(cycle, lower_nemo)
    sides = set()
    for seed in range(30):
        held_out = split_checked(good, fraction=0.2, seed=seed).held_out
        assert (1 in held_out) == (11 in held_out)
        sides.add(1 in held_out)
    assert sides == {True, False}


def test_rows_of_each_category_are_counted(cycle: Path, lower_nemo: Path) -> None:
    """What `split --json` prints."""
    rows = checked(cycle, lower_nemo)
    split = split_checked(rows, fraction=0.2, seed=42)
    assert counts(rows, split) == {
        "train": {"drug": 4, "procedure": 4},
        "validation": {"drug": 1, "procedure": 1},
    }


def test_the_copies_are_sound_manifests(cycle: Path, lower_nemo: Path) -> None:
    """They can be read again, also where the base writes a term otherwise."""
    rows = factories.cycle_rows()
    for row in rows:
        row |= {"text": "give beta-blocker now", "term": "beta-blocker"}
    factories.write_rows(cycle / "manifest.jsonl", rows)
    data = written(cycle, lower_nemo)
    for path in (data.train, data.validation):
        assert parse_manifest(path)[1] == ()


def test_rows_that_choose_have_a_file_of_their_own(cycle: Path, lower_nemo: Path) -> None:
    """The script validates on them; what judges is in no file that training reads."""
    rows = checked(cycle, lower_nemo)
    split = split_checked(rows, fraction=0.2, seed=42, selection=0.3)
    data = write_training_set(cycle, rows, split)
    assert data.selection == cycle / "selection.jsonl"
    assert data.validates_on == (data.selection, 2)
    parts = [read(path) for path in (data.train, data.selection, data.validation)]
    assert [len(part) for part in parts] == [6, 2, 2]
    assert len({row["audio_filepath"] for part in parts for row in part}) == 10
    assert len(data.trained_recordings | data.selection_recordings) == 8
    assert len(data.held_out_recordings) == 2
    assert counts(rows, split)["selection"] == {"drug": 1, "procedure": 1}
    # In two parts again: an earlier run's file would mislead, since its rows are trained on now.
    two = written(cycle, lower_nemo)
    assert two.selection is None
    assert not (cycle / "selection.jsonl").exists()
    assert two.validates_on == (two.validation, 2)
    assert two.content != data.content


def test_a_split_by_voices_wants_a_voice_of_every_row(cycle: Path, lower_nemo: Path) -> None:
    """Rows that lack the field are named; with it, no conversation is on two sides."""
    rows = checked(cycle, lower_nemo)
    disjoint = Disjointness.CONVERSATION
    with pytest.raises(InputError, match=r"10 of 10 rows have no conversation_id .*rows 1, 2, 3"):
        split_checked(rows, fraction=0.2, seed=42, disjoint=disjoint)
    named = factories.cycle_rows()
    for number, row in enumerate(named):
        row["conversation_id"] = number // 2
    factories.write_rows(cycle / "manifest.jsonl", named)
    split = split_checked(checked(cycle, lower_nemo), fraction=0.2, seed=42, disjoint=disjoint)
    conversations = [
        {(number - 1) // 2 for number in side} for side in (split.train, split.held_out)
    ]
    assert not conversations[0] & conversations[1]
    folds = fold_checked(checked(cycle, lower_nemo), 5, seed=42, disjoint=disjoint)
    assert [len(fold.validation) for fold in folds] == [2] * 5
