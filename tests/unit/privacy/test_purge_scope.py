"""A purge stays in what this tool made or owns, finds every trace there, and leaves the sources."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
import soundfile

from tasks.data.cycle_folder import open_cycle
from tasks.data.exporters.exporting import export_cycle
from tasks.data.labelling import labelled_cycle
from tasks.data.labelling.formulary import read_terms_table
from tasks.privacy import purge
from tests.support import corpora, factories, purge_cases

if TYPE_CHECKING:
    from pathlib import Path

SAID = (
    "mister heffalump takes aspirin since his fall in april",
    "somebody else was given heparin at noon by the nurse",
)
FORMS = ("table", "folder")


def make_source(folder: Path, form: str) -> Path:
    """A hospital's recordings with a table, or with a transcript beside each; what is imported."""
    lines = []
    for number, text in enumerate(SAID, start=1):
        name = f"DICT_{number:04d}"
        corpora.write(folder / f"wav/{name}.wav", corpora.speech(1.0, seed=number))
        lines.append(f"wav/{name}.wav,{text}")
        if form == "folder":
            (folder / f"wav/{name}.txt").write_text(text)
    if form == "folder":
        return folder
    (folder / "notes.csv").write_text("\n".join(["audio,text", *lines, ""]))
    table = folder / "list.csv"
    table.write_text("\n".join(["audio,text", *lines, ""]))
    return table


def import_it(source: Path, cycle: Path) -> None:
    """Import a table or a folder."""
    columns = {"audio": "audio", "text": "text"} if source.name == "list.csv" else None
    corpora.run(source, cycle, columns=columns)


def purge_it(
    cycle: Path, recording: str = "DICT_0001.wav", folders: tuple[Path, ...] = ()
) -> purge.PurgePlan:
    """Plan and do a purge."""
    request = purge.PurgeRequest(open_cycle(cycle), recording, folders=folders)
    with purge.locked(request):
        plan = purge.plan_purge(request, {})
        assert purge.apply_purge(plan, {}, lambda _: None) == []
    return plan


def is_gone(cycle: Path) -> bool:
    """Whether the first recording left a cycle with all that tells it, and the second stayed."""
    (row,) = corpora.rows(cycle)
    assert row["text"] == SAID[1]
    assert (cycle / row["audio_filepath"]).is_file()
    files = [path for path in cycle.rglob("*") if path.is_file()]
    return not any(b"heffalump" in path.read_bytes() for path in files) and (
        sum(path.suffix == ".flac" for path in files) == 1
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["october", "cycle1/october", "../october"])
def test_what_an_import_read_stays_wherever_it_lies(tmp_path: Path, form: str, place: str) -> None:
    """Beside the cycles, inside the cycle and elsewhere; also where the user names the folder."""
    clinic = tmp_path / "ward"
    clinic.mkdir()
    folder = clinic / place
    cycle = clinic / "cycle1"
    import_it(make_source(folder, form), cycle)
    before = corpora.tree(folder)
    plan = purge_it(cycle, folders=(folder,) if place == "../october" else ())
    assert corpora.tree(folder) == before
    shutil.move(folder, tmp_path / "elsewhere")
    assert is_gone(cycle)
    recording = str((folder / "wav/DICT_0001.wav").absolute())
    assert os.path.normpath(recording) in plan.selection.sources
    assert not any("DICT" in str(path) for path in plan.selection.audio)


@pytest.mark.parametrize("place", ["october", "cycle1/october"])
def test_sources_stay_also_after_the_clinic_was_moved(tmp_path: Path, place: str) -> None:
    """The provenance then names places that are no longer there."""
    clinic = tmp_path / "ward"
    clinic.mkdir()
    import_it(make_source(clinic / place, "folder"), clinic / "cycle1")
    moved = tmp_path / "moved"
    clinic.rename(moved)
    before = corpora.tree(moved / place)
    purge_it(moved / "cycle1", folders=(moved / place,))
    assert corpora.tree(moved / place) == before


def test_a_source_that_a_cycle_links_to_stays(tmp_path: Path) -> None:
    """The link goes, and not what it leads to."""
    cycle = tmp_path / "cycle1"
    import_it(make_source(tmp_path / "october", "table"), cycle)
    original = tmp_path / "october/wav/DICT_0001.wav"
    audio = cycle / corpora.rows(cycle)[0]["audio_filepath"]
    link = audio.with_suffix(".wav")
    link.symlink_to(original)
    plan = purge_it(cycle)
    assert original.is_file()
    assert str(original) in plan.selection.sources
    assert not audio.exists()
    assert not link.is_symlink()


def test_a_cycle_that_was_imported_again_is_no_source(tmp_path: Path) -> None:
    """Rows and recordings of a cycle are its own, also where another cycle was made of them."""
    cycle = purge_cases.make_clinic(tmp_path)
    for number in range(3):
        factories.write_wav(cycle / f"audio/{number}.wav", 1.0, seed=number)
    corpora.run(cycle / "manifest.jsonl", tmp_path / "cycle5")
    export_cycle(open_cycle(cycle), "csv", tmp_path / "exported")
    import_it(tmp_path / "exported/manifest.csv", tmp_path / "cycle7")
    purge_it(cycle, "audio/0.wav")
    assert not (cycle / "audio/0.wav").exists()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"heffalump" in path.read_bytes()]
    sounds = [path for path in files if path.suffix in {".wav", ".flac"}]
    assert len(sounds) == 8  # two rows in each of four places


def test_a_neighbour_is_not_touched(tmp_path: Path) -> None:
    """Another clinic's cycles, notes and copies beside the cycles stay, and are named."""
    cycle = purge_cases.make_clinic(tmp_path)
    other = purge_cases.make_clinic(tmp_path / "clinicB")
    shutil.copytree(cycle / "audio", tmp_path / "backup/nested")
    (tmp_path / "dies").mkdir()
    (tmp_path / "dies/notes.txt").write_text(purge_cases.GOES)
    (tmp_path / "list.csv").write_text(f"audio,text\n0.wav,{purge_cases.GOES}\n")
    before = {name: corpora.tree(tmp_path / name) for name in ("clinicB", "backup", "dies")}
    plan = purge_it(cycle, "audio/0.wav")
    assert {name: corpora.tree(tmp_path / name) for name in before} == before
    assert purge_cases.GOES in (tmp_path / "list.csv").read_text()
    assert [path.name for path in plan.beside] == ["backup", "clinicB", "dies", "list.csv"]
    assert not (cycle / "audio/0.wav").exists()
    purge_it(other, "audio/0.wav", folders=(tmp_path / "backup",))
    assert not (tmp_path / "backup/nested/0.wav").exists()
    assert (tmp_path / "backup/nested/1.wav").exists()


@pytest.mark.parametrize("place", ["recordings", "../recordings"])
def test_what_a_manifest_refers_to_is_the_cycles_own(tmp_path: Path, place: str) -> None:
    """In a folder beside the cycle it goes with the transcripts there; elsewhere alone."""
    clinic = tmp_path / "ward"
    cycle = purge_cases.make_clinic(clinic)
    folder = clinic / place
    folder.mkdir()
    rows = [json.loads(line) for line in (cycle / "manifest.jsonl").read_text().splitlines()]
    for row in rows:
        name = row["audio_filepath"].rpartition("/")[2]
        (cycle / row["audio_filepath"]).rename(folder / name)
        (folder / name).with_suffix(".txt").write_text(row["text"])
        row["audio_filepath"] = f"../{place}/{name}"
    factories.write_rows(cycle / "manifest.jsonl", rows)
    (cycle / "offline_hyps.jsonl").unlink()  # names the recordings' former places
    plan = purge_it(cycle, "0.wav")
    assert not (folder / "0.wav").exists()
    assert (folder / "1.wav").exists()
    searched = place == "recordings"
    assert ("heffalump" in (folder / "0.txt").read_text()) != searched
    assert purge_cases.STAYS in (folder / "1.txt").read_text()
    assert plan.beside == ()


def test_every_place_of_its_own_is_searched(tmp_path: Path) -> None:
    """Labelled cycles under any name, sheets, exports, unfinished work, general sets."""
    cycle = purge_cases.make_clinic(tmp_path)
    (tmp_path / "terms.csv").write_text(
        "term,entity_category\naspirin,drug\nchest pain,condition\n"
    )
    terms = read_terms_table(tmp_path / "terms.csv")
    opened = open_cycle(cycle)
    for out in ("labelled/cycle1", "again/cycle1"):
        target = tmp_path / out
        labelled_cycle.label_cycle(opened, terms, tmp_path / "terms.csv", target, ["label"])
    for name in ("kaldi", "hf", "csv"):
        export_cycle(opened, name, tmp_path / f"as-{name}")
    sheet = tmp_path / "sheet"
    sheet.mkdir()
    (sheet / "sheet.csv").write_text(
        "\ufeffrank,audio_filepath,checked,text,hypothesis\n"
        f"1,{cycle / 'audio/0.wav'},,{purge_cases.GOES},\n"
    )
    (sheet / "label_studio.json").write_text(json.dumps([{"text": purge_cases.GOES}]))
    work = tmp_path / ".cycle9.importing/content"
    work.mkdir(parents=True)
    factories.write_rows(
        work / "journal.jsonl",
        [{"audio_filepath": str(cycle / "audio/0.wav"), "text": purge_cases.GOES}],
    )
    samples, rate = soundfile.read(cycle / "audio/0.wav", dtype="int16")
    (tmp_path / "english").mkdir()
    soundfile.write(tmp_path / "english/same.flac", samples, rate)
    general = {"audio_filepath": str(tmp_path / "english/same.flac"), "text": purge_cases.GOES}
    factories.write_rows(tmp_path / "english/general.jsonl", [general])
    (tmp_path / "cycle2").mkdir()
    (tmp_path / "cycle2/run.json").write_text(
        json.dumps({"config": {"general": str(tmp_path / "english/general.jsonl")}})
    )
    plan = purge_it(cycle, "audio/0.wav")
    told = [
        path.relative_to(tmp_path).as_posix()
        for path in tmp_path.rglob("*")
        if path.is_file() and b"heffalump" in path.read_bytes()
    ]
    assert told == []
    assert not (tmp_path / "english/same.flac").exists()
    assert [path.name for path in plan.beside] == ["terms.csv"]
