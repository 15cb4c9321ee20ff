"""Sheets and tasks that a person has worked on: only what was checked is imported."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.data.importers import formats
from tasks.data.importers.source_rows import ReadOptions, RowFault, SourceRow
from tasks.data.labelling import sheet_files
from tasks.data.labelling.sheet_ranking import DecodedRecording, SheetRow
from tests.support import corpora
from tests.support.corpora import speech, write

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ("give metroprolol now", "hold the aspirin", "nothing else")


def make(folder: Path) -> Path:
    """A sheet of three recordings, as the command writes it."""
    (folder / "recordings").mkdir(parents=True)
    rows = []
    for number, text in enumerate(TEXTS):
        audio = folder / f"recordings/{number}.wav"
        write(audio, speech(0.8, seed=number))
        rows.append(SheetRow(DecodedRecording(audio, 0.8, text), 0.5 - number / 10, ()))
    sheet = folder / "sheet"
    sheet.mkdir()
    sheet_files.write_sheet(sheet, rows, "a base", folder / "recordings", sheet_files.LOCAL_FILES)
    return sheet


def fill(sheet: Path, **changes: str) -> None:
    """Fill a sheet in: ROW_COLUMN=VALUE."""
    path = sheet / sheet_files.SHEET
    with path.open(newline="", encoding="utf-8-sig") as table:
        rows = list(csv.DictReader(table))
    for name, value in changes.items():
        place, _, column = name.removeprefix("row").partition("_")
        rows[int(place)][column] = value
    with path.open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_only_checked_rows_of_a_sheet_are_imported(tmp_path: Path) -> None:
    """A hypothesis that nobody has looked at is no reference; how many there are is said."""
    sheet = make(tmp_path)
    fill(sheet, row0_checked="X", row0_text="give metoprolol now", row1_checked="unclear")
    notes: list[str] = []
    source = sheet / sheet_files.SHEET
    found = formats.choose(source, None)
    assert found.name == "sheet"
    (row,) = found.read(source, ReadOptions(note=notes.append))
    assert isinstance(row, SourceRow)
    assert row.text == "give metoprolol now"
    assert notes == ["not imported: 1 row not checked yet, 1 unclear"]
    corpora.run(source, cycle := tmp_path / "cycle1")
    assert [row["text"] for row in corpora.rows(cycle)] == ["give metoprolol now"]


def test_another_word_under_checked_is_refused_with_its_line(tmp_path: Path) -> None:
    """Neither taken nor left out in silence."""
    sheet = make(tmp_path)
    fill(sheet, row0_checked="maybe", row1_checked="x")
    source = sheet / sheet_files.SHEET
    fault, row = formats.choose(source, None).read(source, ReadOptions())
    assert isinstance(fault, RowFault)
    assert "sheet.csv:2" in fault.place
    assert "'maybe' under checked is neither x nor unclear" in fault.problem
    assert isinstance(row, SourceRow)


def test_a_fresh_sheet_has_nothing_to_import(tmp_path: Path) -> None:
    """Before anybody has looked at it; the fix is the person's work, and no other format."""
    sheet = make(tmp_path)
    for name, fix in ((sheet_files.SHEET, "write x under"), (sheet_files.TASKS, "an annotation")):
        with pytest.raises(InputError, match=f"has no rows that.*Fix: hear .*{fix}") as told:
            corpora.run(sheet / name, tmp_path / "cycle1")
        assert "--format" not in str(told.value)
    fill(sheet, row1_checked="x")
    assert corpora.run(sheet / sheet_files.SHEET, tmp_path / "cycle1").rows == 1


def annotated(text: str | list[str], **other: Any) -> dict[str, Any]:
    """An annotation as Label Studio exports it."""
    texts = [text] if isinstance(text, str) else text
    item = {
        "from_name": "transcription",
        "to_name": "audio",
        "type": "textarea",
        "value": {"text": texts},
    }
    return {"id": 1, "result": [item], "was_cancelled": False, **other}


def test_annotated_tasks_of_label_studio_are_imported(tmp_path: Path) -> None:
    """A prediction alone is not; a skipped one neither, nor one that is unclear."""
    sheet = make(tmp_path)
    tasks = json.loads((sheet / sheet_files.TASKS).read_text())
    assert all(task["predictions"][0]["result"][0]["value"]["text"] for task in tasks)
    tasks[0]["annotations"] = [
        annotated("wrong", was_cancelled=True),
        annotated("give metoprolol now"),
        annotated("Give metoprolol now."),
    ]
    unclear = {"from_name": "state", "type": "choices", "value": {"choices": ["unclear"]}}
    tasks[1]["annotations"] = [{"id": 2, "result": [unclear]}]
    export = tmp_path / "project-1-at-2026-11-29.json"
    export.write_text(json.dumps(tasks))
    assert formats.choose(export, None).name == "label-studio"
    notes: list[str] = []
    (row,) = formats.choose(export, None).read(export, ReadOptions(note=notes.append))
    assert isinstance(row, SourceRow)
    assert row.text == "give metoprolol now"
    assert notes == ["not imported: 1 task without an annotation, 1 unclear"]
    corpora.run(export, cycle := tmp_path / "cycle1")
    assert [row["text"] for row in corpora.rows(cycle)] == ["give metoprolol now"]


def test_the_short_export_and_regions_are_read_too(tmp_path: Path) -> None:
    """JSON-MIN has the text under the control's name; a region is a span of its recording."""
    sheet = make(tmp_path)
    task = json.loads((sheet / sheet_files.TASKS).read_text())[0]
    short = {"id": 7, "annotation_id": 3, **task["data"], "transcription": "hold it"}
    path = tmp_path / "short.json"
    path.write_text(json.dumps([short]))
    (row,) = formats.choose(path, None).read(path, ReadOptions())
    assert isinstance(row, SourceRow)
    assert (row.text, row.is_span) == ("hold it", False)
    region = annotated("take it")
    region["result"][0]["value"] |= {"start": 0.1, "end": 0.5}
    path.write_text(json.dumps([{**task, "annotations": [region]}]))
    (row,) = formats.choose(path, None).read(path, ReadOptions())
    assert isinstance(row, SourceRow)
    assert (row.start, row.end) == (0.1, 0.5)


@pytest.mark.parametrize(
    ("annotations", "data", "said"),
    [
        ([annotated("one"), annotated("two")], {}, "several people wrote different texts"),
        ([annotated("")], {}, "is annotated, and holds no text"),
        ([annotated("one")], {"recording": "", "audio": ""}, "names no recording"),
        ([annotated("one")], {"recording": "https://x.example/a.wav"}, "is a URL"),
    ],
)
def test_what_is_wrong_with_a_task_is_told(
    tmp_path: Path, annotations: list[Any], data: dict[str, str], said: str
) -> None:
    """With the task's number and a fix."""
    sheet = make(tmp_path)
    task = json.loads((sheet / sheet_files.TASKS).read_text())[0]
    path = tmp_path / "tasks.json"
    both = {**task, "id": 12, "data": {**task["data"], **data}, "annotations": annotations}
    path.write_text(json.dumps([both]))
    (fault,) = formats.choose(path, None).read(path, ReadOptions())
    assert isinstance(fault, RowFault)
    assert said in fault.problem
    assert fault.place.endswith("task 12")
