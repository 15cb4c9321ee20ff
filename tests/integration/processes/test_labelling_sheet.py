"""From recordings without a transcript to a cycle: sheet, a person, import."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

from tests.support import factories, stub_programs

if TYPE_CHECKING:
    from pathlib import Path


def test_a_sheet_is_made_filled_in_and_imported(tmp_path: Path) -> None:
    """What cannot be decoded is named; the sheet is not overwritten; what is checked is a cycle."""
    recordings = tmp_path / "recordings"
    (recordings / "ward").mkdir(parents=True)
    for number in range(5):
        factories.write_wav(recordings / f"ward/{number}.wav", 1.0, seed=number)
    (recordings / "copy.wav").write_bytes((recordings / "ward/0.wav").read_bytes())
    factories.write_wav(recordings / "long.wav", 41.0, seed=9)
    (recordings / "broken.wav").write_bytes(b"RIFF")
    (recordings / "notes.txt").write_text("no recording")
    before = factories.snapshot(recordings)
    terms = tmp_path / "terms.csv"
    terms.write_text("term,entity_category\nmetoprolol,drug\n")
    command = ("sheet", "recordings", "out", "--base", "embedded", "--terms", "terms.csv")
    made = stub_programs.run_command(tmp_path, *command)
    assert made.returncode == 0, made.stderr
    assert factories.snapshot(recordings) == before
    assert "5 recordings" in made.stdout
    left_out = [line for line in made.stdout.splitlines() if line.startswith("left out: ")]
    assert any("long.wav: 41 s long, over 40" in line for line in left_out)
    assert any("broken.wav: the audio cannot be decoded" in line for line in left_out)
    assert any("the same recording as copy.wav" in line for line in left_out)
    (logged,) = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert json.loads(logged)["act"] == "sheet"
    tasks = json.loads((tmp_path / "out/label_studio.json").read_text())
    assert len(tasks) == 5
    assert tasks[0]["data"]["audio"].startswith("/data/local-files/?d=")
    again = stub_programs.run_command(tmp_path, *command)
    assert again.returncode == 2
    assert "is there already, and somebody may have filled it in" in again.stderr
    sheet = tmp_path / "out/sheet.csv"
    with sheet.open(newline="", encoding="utf-8-sig") as table:
        rows = list(csv.DictReader(table))
    assert [int(row["rank"]) for row in rows] == [1, 2, 3, 4, 5]
    # The stub is unsure of words with a digit; every name's hash has some.
    assert all(0 < float(row["confidence"]) <= 0.9 for row in rows)
    assert any("unsure of " in row["why"] for row in rows)
    for row in rows[:2]:
        row |= {"checked": "x", "text": f"take metoprolol in room {row['rank']}"}
    with sheet.open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    imported = stub_programs.run_command(tmp_path, "import", "out/sheet.csv", "cycle1", "--yes")
    assert imported.returncode == 0, imported.stderr
    assert "not imported: 3 rows not checked yet, 0 unclear" in imported.stderr
    manifest = (tmp_path / "cycle1/manifest.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in manifest]
    assert texts == ["take metoprolol in room 1", "take metoprolol in room 2"]
