"""Rows cut from one recording: one side for shared sound, and a word on the others."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.common.parameter_names import spelled_as
from tasks.data.audio_checks import AudioLimits
from tasks.data.preflight import PreflightResult, preflight
from tasks.data.split_parts import Disjointness
from tasks.data.training_set import fold_checked, split_checked
from tests.support import corpora, factories

if TYPE_CHECKING:
    from pathlib import Path

CONVERSATION = Disjointness.CONVERSATION
FLAG = {"disjoint": "--disjoint"}


def table(folder: Path, spans: list[tuple[int, str, str]]) -> Path:
    """A table of spans: recording, start and end; each recording is three seconds long."""
    lines = ["audio,text,start,end"]
    for recording, start, end in spans:
        path = folder / f"{recording}.wav"
        if not path.is_file():
            corpora.write(path, corpora.speech(3.0, seed=recording))
        text = f"the nurse gave dose {recording} at {start or 'noon'}"
        lines.append(f"{recording}.wav,{text},{start},{end}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "rows.csv"


def imported(tmp_path: Path, spans: list[tuple[int, str, str]]) -> Path:
    """A cycle of these rows."""
    (tmp_path / "source").mkdir()
    corpora.run(table(tmp_path / "source", spans), tmp_path / "cycle1", check=False)
    return tmp_path / "cycle1"


def check(cycle: Path) -> PreflightResult:
    """What preflight says."""
    result = preflight(cycle / "manifest.jsonl", AudioLimits(16000), None)
    result.raise_errors()
    return result


TWICE = [
    (recording, start, end) for recording in range(12) for start, end in (("", ""), ("0.05", "3"))
]
"""Each recording twice, of which all but 50 ms is the same sound."""
APART = [
    (recording, start, end)
    for recording in range(6)
    for start, end in (("0", "1"), ("1", "2"), ("2", "3"))
]
"""Three spans of each recording, which touch."""


def sides(split: Any) -> dict[int, str]:
    """The part of each row."""
    return {
        row: part for part in ("train", "selection", "validation") for row in getattr(split, part)
    }


def test_rows_that_share_sound_stand_on_one_side_of_every_split(tmp_path: Path) -> None:
    """In three parts, in two, in folds, by terms, and after the cycle has moved."""
    cycle = imported(tmp_path, TWICE)
    moved = tmp_path / "elsewhere" / "cycle9"
    shutil.copytree(cycle, moved)
    shutil.rmtree(cycle)
    rows = check(moved).rows
    pairs = [(number, number + 1) for number in range(1, 25, 2)]
    judged: set[int] = set()
    for seed in range(12):
        splits = [
            split_checked(rows, fraction=0.2, seed=seed, selection=0.2),
            split_checked(rows, fraction=0.2, seed=seed),
            split_checked(rows, fraction=0.2, seed=seed, selection=0.2, by_term=True),
            split_checked(rows, fraction=0.2, seed=seed, selection=0.2, disjoint=CONVERSATION),
            *fold_checked(rows, 4, seed=seed, selection=0.2),
            *fold_checked(rows, 4, seed=seed, selection=0.2, disjoint=CONVERSATION),
        ]
        for split in splits:
            found = sides(split)
            assert len(found) == 24
            assert all(found[one] == found[other] for one, other in pairs)
            assert split.warnings == () or "parts of recordings" not in " ".join(split.warnings)
            judged |= split.held_out
    assert judged == set(range(1, 25))


def test_preflight_names_both_rows_that_share_sound(tmp_path: Path) -> None:
    """How much they share, what to do, and that the split keeps them together."""
    cycle = imported(tmp_path, TWICE[:4])
    first, second = check(cycle).warnings
    assert (first.code, first.row, second.row) == ("shared-sound", 2, 4)
    assert str(first) == (
        "row 2: has 2.95 s of sound in common with row 1: their spans of one source recording "
        "overlap ('audio/000/000002.flac'). Fix: correct start and end in the source and import "
        "it again, or remove one of the two rows; until then both stay on one side of the split"
    )


def test_the_import_itself_tells_of_shared_sound(tmp_path: Path) -> None:
    """Before a person looks at the cycle."""
    (tmp_path / "source").mkdir()
    summary = corpora.run(table(tmp_path / "source", TWICE[:4]), tmp_path / "cycle1")
    assert sum("of sound in common with row" in line for line in summary.warnings) == 2


def test_rows_without_provenance_are_split_as_before(tmp_path: Path) -> None:
    """Nothing is known of them, so that nothing is said."""
    cycle = imported(tmp_path, TWICE)
    (cycle / "provenance.jsonl").unlink()
    result = check(cycle)
    assert result.warnings == ()
    split = split_checked(result.rows, fraction=0.2, seed=42)
    assert any(sides(split)[n] != sides(split)[n + 1] for n in range(1, 25, 2))


def test_rows_that_all_share_sound_cannot_be_held_out(tmp_path: Path) -> None:
    """The error says why, and what makes them rows of their own."""
    cycle = imported(tmp_path, [(1, f"{tenth / 10}", f"{tenth / 10 + 1}") for tenth in range(9)])
    with pytest.raises(InputError, match=r"share sound, as spans .* Fix: correct start and end"):
        split_checked(check(cycle).rows, fraction=0.2, seed=42)


def test_a_split_says_how_many_judged_rows_have_siblings_in_training(tmp_path: Path) -> None:
    """And names the option that keeps recordings apart, which does."""
    rows = check(imported(tmp_path, APART)).rows
    with spelled_as(FLAG):
        split = split_checked(rows, fraction=0.2, seed=42)
        (warning,) = split.warnings
        learnt = {(number - 1) // 3 for number in split.train}
        siblings = [number for number in split.validation if (number - 1) // 3 in learnt]
        recordings = {(number - 1) // 3 for number in siblings}
        assert siblings
        assert warning.startswith(
            f"{len(siblings)} of {len(split.validation)} rows that judge are parts of recordings "
            f"of which other parts are trained on ({len(recordings)} recordings): "
        )
        assert warning.endswith("--disjoint conversation_id keeps whole recordings on one side")
        apart = split_checked(rows, fraction=0.2, seed=42, disjoint=CONVERSATION)
        assert apart.warnings == ()
        learnt = {(number - 1) // 3 for number in apart.train}
        assert not any((number - 1) // 3 in learnt for number in apart.validation)
        folds = fold_checked(rows, 3, seed=42)
        assert all("parts of recordings" in fold.warnings[-1] for fold in folds)


def test_an_option_that_cannot_be_taken_is_not_advised(tmp_path: Path) -> None:
    """Rows of one recording alone cannot be kept apart by recordings."""
    rows = check(imported(tmp_path, APART[:3])).rows
    with spelled_as(FLAG):
        (warning,) = split_checked(rows, fraction=0.34, seed=42).warnings
    assert "cannot be made of these rows: add recordings" in warning


def test_rows_of_an_older_import_have_the_conversation_of_their_recording(tmp_path: Path) -> None:
    """One that names none is of the others' conversation, or of its recording's own."""
    cycle = imported(tmp_path, [*APART, (20, "", "")])
    rows = corpora.rows(cycle)
    for place, row in enumerate(rows):
        row.pop("conversation_id", None)
        if place == 0:
            row["conversation_id"] = "visit 7"
    factories.write_rows(cycle / "manifest.jsonl", rows)
    for seed in range(6):
        found = sides(
            split_checked(check(cycle).rows, fraction=0.2, seed=seed, disjoint=CONVERSATION)
        )
        assert len({found[1], found[2], found[3]}) == 1
        assert len({found[4], found[5], found[6]}) == 1
