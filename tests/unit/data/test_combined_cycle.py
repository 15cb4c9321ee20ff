"""Last month's rows and the new ones in one cycle; the sources keep every byte."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from asr_flywheel import cli
from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.combined_cycle import CombineSummary, combine_cycles
from tasks.data.cycle_folder import open_cycle
from tasks.data.preflight import preflight
from tasks.data.source_spans import PROVENANCE
from tests.support import factories

Row = tuple[int, str]


def make(folder: Path, *rows: Row, **fields: str) -> Path:
    """A cycle whose rows are seeds of noise with texts; its audio is audio/0.wav and so on."""
    (folder / "audio").mkdir(parents=True)
    for place, (seed, _) in enumerate(rows):
        factories.write_wav(folder / f"audio/{place}.wav", 1.0, seed=seed)
    names = [f"audio/{place}.wav" for place in range(len(rows))]
    factories.write_rows(
        folder / "manifest.jsonl",
        (
            {"audio_filepath": name, "text": text, "duration": 1.0, "ward": "B2", **fields}
            for name, (_, text) in zip(names, rows, strict=True)
        ),
    )
    factories.write_rows(
        folder / "provenance.jsonl",
        ({"audio_filepath": name, "recording": f"{folder.name}.wav"} for name in names),
    )
    return folder


def combine(out: Path, *folders: Path) -> CombineSummary:
    """Combine those cycles."""
    return combine_cycles([open_cycle(folder) for folder in folders], out)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one a line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_all_rows_are_there_with_their_own_recordings(tmp_path: Path) -> None:
    """The earlier cycle's names stay; a name that is taken gets a folder. No field is lost."""
    first = make(tmp_path / "cycle1", (0, "stop aspirin"), (1, "give warfarin"))
    second = make(tmp_path / "new/cycle2", (2, "one biopsy"), (3, "no biopsy"), term="biopsy")
    before = factories.snapshot(tmp_path)
    out = tmp_path / "cycle2"
    summary = combine(out, first, second)
    after = factories.snapshot(tmp_path)
    assert {name: after[name] for name in before} == before
    assert (summary.rows, summary.repeated, summary.linked) == (4, (), 4)
    rows = rows_of(out / "manifest.jsonl")
    assert [row["audio_filepath"] for row in rows] == [
        *("audio/0.wav", "audio/1.wav", "audio/2/0.wav", "audio/2/1.wav")
    ]
    assert [row["text"] for row in rows][2:] == ["one biopsy", "no biopsy"]
    assert {row["ward"] for row in rows} == {"B2"}
    assert rows[2]["term"] == "biopsy"
    for name, source in ((rows[0], first / "audio/0.wav"), (rows[3], second / "audio/1.wav")):
        assert os.path.samefile(out / name["audio_filepath"], source)  # noqa: PTH121
    assert [row["audio_filepath"] for row in rows_of(out / "provenance.jsonl")] == [
        row["audio_filepath"] for row in rows
    ]
    assert {row["recording"] for row in rows_of(out / "provenance.jsonl")[2:]} == {"cycle2.wav"}
    checked = preflight(out / "manifest.jsonl", AudioLimits(factories.RATE), None)
    checked.raise_errors()
    assert len(checked.rows) == 4


def test_a_sound_is_there_once_and_the_other_row_is_told(tmp_path: Path) -> None:
    """Its words may be spelled otherwise; that its terms differ is said."""
    first = make(tmp_path / "cycle1", (0, "an x-ray"), (1, "give warfarin"))
    second = make(tmp_path / "cycle2", (0, "an x ray"), (5, "no x ray"), term="ray")
    summary = combine(tmp_path / "cycle3", first, second)
    assert summary.sources == {str(first): 2, str(second): 1}
    (line,) = summary.repeated
    assert line.startswith(f"row 1 of {second} has the sound and the words of row 1 of {first}")
    assert "its terms are others" in line
    assert json.loads((tmp_path / "cycle3/combine.json").read_text())["repeated"] == [line]


def test_one_sound_with_two_texts_stops_it(tmp_path: Path) -> None:
    """Both rows are named with their texts, and nothing is written."""
    first = make(tmp_path / "cycle1", (0, "stop aspirin"))
    second = make(tmp_path / "cycle2", (3, "no pain"), (0, "give aspirin"))
    before = factories.snapshot(tmp_path)
    said = (
        r"row 2 of .*cycle2 has the sound of row 1 of .*cycle1.*'give aspirin', not 'stop aspirin'"
    )
    with pytest.raises(InputError, match=said):
        combine(tmp_path / "cycle3", first, second)
    assert factories.snapshot(tmp_path) == before


def test_the_evaluation_of_the_run_before_stays(tmp_path: Path) -> None:
    """A run on cycle1 has left cycle2; the new rows go there."""
    first = make(tmp_path / "cycle1", (0, "stop aspirin"))
    second = make(tmp_path / "new/cycle2", (2, "no pain"))
    (tmp_path / "cycle2").mkdir()
    (tmp_path / "cycle2/run.json").write_text("the run")
    combine(tmp_path / "cycle2", first, second)
    assert (tmp_path / "cycle2/run.json").read_text() == "the run"
    assert len(rows_of(tmp_path / "cycle2/manifest.jsonl")) == 2
    with pytest.raises(InputError, match="is there already"):
        combine(tmp_path / "cycle2", first, second)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("cycle1", "cycle1", "cycle3"), "nothing to combine it with"),
        (("cycle1", "cycle2", "other"), "is named cycle1"),
        (("cycle1", "cycle2", "cycle1/cycle9"), "is a source, or in one"),
        (("cycle1", "cycle2", "cycle2"), "is a source, or in one"),
    ],
)
def test_places_that_cannot_be_are_refused(
    tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    """The same cycle twice, a folder that is no cycle, and a source as the target."""
    make(tmp_path / "cycle1", (0, "stop aspirin"))
    make(tmp_path / "cycle2", (1, "no pain"))
    *sources, out = (tmp_path / name for name in names)
    with pytest.raises(InputError, match=said):
        combine(out, *sources)


def test_a_recording_that_is_not_there_or_cannot_be_read_is_named(tmp_path: Path) -> None:
    """With its manifest and its row."""
    first = make(tmp_path / "cycle1", (0, "stop aspirin"))
    second = make(tmp_path / "cycle2", (1, "no pain"), (2, "one biopsy"))
    (second / "audio/1.wav").write_text("no sound")
    with pytest.raises(InputError, match=r"cycle2/manifest\.jsonl: row 2: .*cannot be read"):
        combine(tmp_path / "cycle3", first, second)
    (second / "audio/1.wav").unlink()
    with pytest.raises(InputError, match=r"cycle2/manifest\.jsonl: row 2: there is no recording"):
        combine(tmp_path / "cycle3", first, second)


def test_what_is_not_combined_is_told(tmp_path: Path) -> None:
    """General speech beside labelled rows, and recordings that lie elsewhere."""
    first = make(tmp_path / "cycle1", (0, "stop aspirin"))
    (first / "general.jsonl").write_text("{}")
    second = make(tmp_path / "cycle2", (1, "no pain"))
    far = factories.write_wav(tmp_path / "far.wav", seed=9)
    row = {"audio_filepath": str(far), "text": "one biopsy", "duration": 0.3}
    factories.write_rows(second / "manifest.jsonl", [row])
    notes = combine(tmp_path / "cycle3", first, second).notes
    assert [note.split(" ")[0] for note in notes] == ["1", str(first / "general.jsonl")]
    assert rows_of(tmp_path / "cycle3/manifest.jsonl")[1]["audio_filepath"] == str(far)


def test_marks_of_reviews_come_along_from_another_clinic(tmp_path: Path) -> None:
    """Beside the cycle they are read where they are."""
    first = make(tmp_path / "cycle1", (0, "stop aspirin"))
    second = make(tmp_path / "new/cycle2", (1, "no pain"))
    for folder in (first, second):
        (folder / "review_cycle2.json").write_text("{}")
    (second / "formulary.txt").write_text("aspirin\n")
    combine(tmp_path / "cycle2", first, second)
    names = {path.name for path in (tmp_path / "cycle2").iterdir()}
    assert {"review_cycle2.json", "formulary.txt"} <= names


def test_the_command_prints_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts and notes; too few folders exit with 2 and name an example; the act is logged."""
    first = make(tmp_path / "cycle1", (0, "stop aspirin"), (1, "give warfarin"))
    second = make(tmp_path / "new/cycle2", (1, "give warfarin"), (2, "no pain"))

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["asr-flywheel", "combine", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    assert call(first, second, tmp_path / "cycle2") == 0
    out = capsys.readouterr().out
    assert f"{tmp_path / 'cycle2'}: 3 rows = 2 of {first} + 1 of {second}" in out
    assert "1 row is left out, since it is there already" in out
    assert '"act": "combine"' in (tmp_path / "audit.jsonl").read_text()
    assert call(first, tmp_path / "cycle3") == 2
    assert "`asr-flywheel combine cycle1 new/cycle2 cycle2`" in capsys.readouterr().err


def test_conversations_that_imports_numbered_alike_stay_apart(tmp_path: Path) -> None:
    """Else a split by conversations would keep the two months' first recordings together."""
    first = make(tmp_path / "cycle1", (0, "one"), (1, "two"), conversation_id="recording 1")
    second = make(tmp_path / "new/cycle2", (2, "three"), (3, "four"), conversation_id="recording 1")
    by_hand = make(tmp_path / "more/cycle3", (4, "five"), conversation_id="recording 1")
    for folder in (first, second):
        lines = [{**row, "recording_sha256": folder.name} for row in rows_of(folder / PROVENANCE)]
        factories.write_rows(folder / PROVENANCE, lines)
    (by_hand / PROVENANCE).unlink()
    combine(tmp_path / "cycle4", first, second, by_hand)
    found = [row["conversation_id"] for row in rows_of(tmp_path / "cycle4/manifest.jsonl")]
    assert found == [*["recording 1"] * 2, *["recording 2"] * 2, "recording 1"]


@pytest.mark.parametrize("places", [1, 5])
def test_recordings_outside_are_told_with_the_option_that_allows_them(
    tmp_path: Path, places: int
) -> None:
    """Each folder, or where they are many the one above all; it works as it stands."""
    first = make(tmp_path / "cycle1", *((seed, f"row {seed}") for seed in range(5)))
    second = make(tmp_path / "new/cycle2", (9, "one biopsy"))
    for seed in range(5):
        place = tmp_path / "ward 3" / str(seed % places)
        place.mkdir(parents=True, exist_ok=True)
        (first / f"audio/{seed}.wav").rename(place / f"{seed}.wav")
    rows = [
        {**row, "audio_filepath": f"{tmp_path}/ward 3/{seed % places}/{seed}.wav"}
        for seed, row in enumerate(rows_of(first / "manifest.jsonl"))
    ]
    factories.write_rows(first / "manifest.jsonl", rows)
    (note,) = combine(tmp_path / "cycle3", first, second).notes
    assert note.startswith("5 rows name recordings outside")
    _, option, root, *_ = shlex.split(note.partition("Fix: ")[2])
    assert (option, root) == ("--audio-root", f"{tmp_path}/ward 3" + ("/0" if places == 1 else ""))
    limits = AudioLimits(16_000, (Path(root),))
    preflight(tmp_path / "cycle3/manifest.jsonl", limits, None).raise_errors()
