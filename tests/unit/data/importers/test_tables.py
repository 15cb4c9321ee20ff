"""Tables: CSV and spreadsheets that their own tools write are imported, broken ones refused."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import openpyxl
import pytest

from tasks.common.errors import InputError
from tasks.data.importers.source_rows import ReadOptions
from tests.support import corpora, factories
from tests.support.corpora import run
from tests.support.spoken_sources import SPANS, TEXTS, check, consultation, voices

if TYPE_CHECKING:
    from pathlib import Path


HEADER = ("File Name", "Transcript", "Speaker", "ward", "patient")


def table_rows() -> list[tuple[str, ...]]:
    """A table as an EHR exports it."""
    return [(f"{number}.wav", TEXTS[number], "dr a", "icu", "Doe") for number in range(3)]


@pytest.mark.parametrize(("name", "delimiter"), [("t.csv", ","), ("t.csv", ";"), ("t.tsv", "\t")])
def test_a_table_by_csv(tmp_path: Path, name: str, delimiter: str) -> None:
    """Columns are guessed and shown; others are left out unless they are named."""
    made = voices(tmp_path / "source")
    with (tmp_path / "source" / name).open("w", newline="", encoding="utf-8-sig") as out:
        writer = csv.writer(out, delimiter=delimiter)
        writer.writerows([HEADER, *table_rows()])
    notes: list[str] = []
    reading = ReadOptions(columns={"group": "ward"}, note=notes.append)
    run(tmp_path / "source" / name, tmp_path / "cycle1", reading=reading)
    check(tmp_path / "cycle1", made)
    row = corpora.rows(tmp_path / "cycle1")[0]
    assert (row["voice_id"], row["group"]) == ("dr a", "icu")
    assert "Doe" not in (tmp_path / "cycle1" / "manifest.jsonl").read_text()
    assert "audio='File Name', text='Transcript', voice_id='Speaker'" in notes[0]
    assert "left out: patient" in notes[1]


def test_a_table_by_openpyxl(tmp_path: Path) -> None:
    """With numbers as numbers; start and end cut one recording."""
    made = consultation(tmp_path / "source")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["audio", "text", "start", "end"])
    for text, (start, end) in zip(TEXTS, SPANS, strict=True):
        sheet.append(["visit.wav", text, start, end])
    book.save(tmp_path / "source" / "t.xlsx")
    run(tmp_path / "source" / "t.xlsx", tmp_path / "cycle1")
    check(tmp_path / "cycle1", made)
    place = corpora.provenance(tmp_path / "cycle1")[1]["source_place"]
    assert place.endswith("t.xlsx: sheet Sheet, row 3")


BROKEN_TABLES = {
    "no text column": (
        "audio,words\n0.wav,a\n",
        "no column looks like the text; there are 'audio'",
    ),
    "two texts": ("audio,text,sentence\n0.wav,a,b\n", "may be 'text' or 'sentence'"),
    "too many cells": ("audio,text\n0.wav,a, b\n", "t.csv:2: has 3 cells"),
    "open quotes": ('audio,text\n0.wav,"a\n', "t.csv:2: is not readable as a table"),
    "no number": ("audio,text,start,end\n0.wav,a,soon,2\n", "t.csv:2: "),
    "no recording": ("audio,text\n,a\n", "t.csv:2: names no recording"),
    "a url": ("audio,text\ns3://b/0.wav,a\n", "t.csv:2: the recording is a URL"),
    "not utf-8": ("audio,text\n0.wav,caf\udce9\n", "t.csv:2: byte 0xe9 is not UTF-8"),
}


@pytest.mark.parametrize("kind", sorted(BROKEN_TABLES))
def test_a_broken_table_is_refused(tmp_path: Path, kind: str) -> None:
    """With file, line and fix; nothing is written."""
    content, message = BROKEN_TABLES[kind]
    voices(tmp_path / "source")
    path = tmp_path / "source" / "t.csv"
    path.write_bytes(content.encode("utf-8", errors="surrogateescape"))
    with pytest.raises(InputError) as refused:
        run(path, tmp_path / "cycle1")
    assert message in str(refused.value)
    assert "Fix: " in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_recording_in_a_folder_below_is_found_and_its_path_told(tmp_path: Path) -> None:
    """The fix is right when it is followed; elsewhere it says what paths are relative to."""
    source = tmp_path / "source"
    (source / "spoken/may").mkdir(parents=True)
    factories.write_wav(source / "spoken/may/a.wav", 1.0)
    table = source / "rows.csv"
    table.write_text("audio,text\na.wav,stop aspirin\nb.wav,no pain\n")
    with pytest.raises(InputError) as wrong:
        run(table, tmp_path / "cycle1")
    first, second = str(wrong.value).splitlines()[1:]
    assert (
        f"one of this name is {source / 'spoken/may/a.wav'}. Fix: name it 'spoken/may/a.wav'"
        in first
    )
    assert "paths are relative to the folder of the file that names them" in second
    table.write_text("audio,text\nspoken/may/a.wav,stop aspirin\n")
    assert run(table, tmp_path / "cycle1").rows == 1
