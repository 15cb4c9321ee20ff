"""A list of recordings is purged as one: all of it or nothing, from every cycle, and once more."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from asr_flywheel import cli
from tasks.common.errors import InputError
from tasks.data.purge_journal import JOURNAL_NAME
from tasks.privacy import keyed_hashes, purge_journal_file
from tasks.records import audit_log
from tests.support import factories, purge_cases

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.privacy.purge_plan import ChangeKind

QUIET = ("--no-server", "--no-stores")


def purge(*options: object, typed: str | None = None) -> str:
    """What the command prints."""
    asked = ["purge", *map(str, options), *QUIET]
    done = CliRunner().invoke(cli.app, asked, input=typed)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def apply(clinic: Path, listed: Path, *more: str) -> str:
    """List, and purge what was listed, as a script does."""
    label = json.loads(purge(clinic, "--recordings", listed, *more, "--json"))["confirm"]
    return purge(clinic, "--recordings", listed, *more, "--confirm", label)


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """Cycle 1 with three rows, and cycle 3 with one."""
    purge_cases.make_clinic(tmp_path / "ward")
    later = tmp_path / "ward/cycle3"
    (later / "audio").mkdir(parents=True)
    factories.write_wav(later / "audio/9.wav", 0.1, seed=9)
    row = {"audio_filepath": "audio/9.wav", "text": "words of cycle three", "voice_id": "guest-1"}
    factories.write_rows(later / "manifest.jsonl", [row])
    return tmp_path / "ward"


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list of a recording of each cycle."""
    path = tmp_path / "withdrawn.txt"
    path.write_text("cycle1/audio/0.wav\n\n9.wav\n")
    return path


def test_a_list_is_shown_line_by_line_and_then_purged_from_every_cycle(
    clinic: Path, listed: Path
) -> None:
    """What is typed belongs to the list that was shown; the log has no name of it."""
    before = factories.snapshot(clinic / "cycle1")
    shown = purge(clinic, "--recordings", listed)
    manifest = clinic / "cycle3/manifest.jsonl"
    assert f"listed   line 3: '9.wav': recording, 1 row of {manifest}" in shown.splitlines()
    assert "2 rows, 2 files of sound; " in shown
    assert f"the list {listed}: is not touched, yours to remove" in shown
    assert factories.snapshot(clinic / "cycle1") == before
    label = json.loads(purge(clinic, "--recordings", listed, "--json"))["confirm"]
    purge(clinic, "--recordings", listed, "--apply", typed=f"{label}\n")
    assert manifest.read_text() == ""
    assert purge_cases.read_rows(clinic / "cycle1/manifest.jsonl")[0] == purge_cases.STAYS
    assert not (clinic / "cycle1/audio/0.wav").exists()
    assert not (clinic / "cycle3/audio/9.wav").exists()
    assert (clinic / "cycle1/audio/1.wav").exists()
    (line,) = audit_log.read_lines(clinic)
    assert line["cycle"] is None
    assert (line["ids"]["what"], line["ids"]["rows"], len(line["ids"]["keyed_sha256"])) == (
        *("list", 2, 2),
    )
    log = (clinic / audit_log.NAME).read_text()
    assert not [name for name in ("0.wav", "9.wav", "withdrawn") if name in log]


def test_a_line_that_means_nothing_keeps_all_of_the_list_from_being_purged(
    clinic: Path, listed: Path
) -> None:
    """The other lines wait for it, also where the user has typed already."""
    listed.write_text(f"{listed.read_text()}nobody.wav\n")
    before = factories.snapshot(clinic / "cycle1")
    with pytest.raises(InputError, match=r"withdrawn\.txt: line 4: 'nobody\.wav': no row") as said:
        purge(clinic, "--recordings", listed, "--apply", typed="anything\n")
    assert "Nothing was purged" in str(said.value)
    assert factories.snapshot(clinic / "cycle1") == before


def test_a_list_that_changed_since_it_was_shown_is_refused(clinic: Path, listed: Path) -> None:
    """What was confirmed is what was shown."""
    label = json.loads(purge(clinic, "--recordings", listed, "--json"))["confirm"]
    listed.write_text("cycle1/audio/1.wav\n")
    before = factories.snapshot(clinic)
    with pytest.raises(InputError, match="another list has another hash"):
        purge(clinic, "--recordings", listed, "--confirm", label)
    assert factories.snapshot(clinic) == before


def test_a_list_that_was_purged_is_purged_again_where_something_came_back(
    clinic: Path, listed: Path, tmp_path: Path
) -> None:
    """Nothing left: nothing is done. What a backup brought back goes, and the rest is no error."""
    shutil.copytree(clinic / "cycle3", tmp_path / "backup")
    apply(clinic, listed)
    after = factories.snapshot(clinic)
    said = purge(clinic, "--recordings", listed)
    assert "This list was purged before; no manifest has a row of it. Nothing changes." in said
    apply(clinic, listed)
    assert factories.snapshot(clinic) == after
    shutil.rmtree(clinic / "cycle3")
    shutil.copytree(tmp_path / "backup", clinic / "cycle3")
    assert "line 1: 'cycle1/audio/0.wav': nothing of it is left" in apply(clinic, listed)
    assert (clinic / "cycle3/manifest.jsonl").read_text() == ""
    keyed_hashes.forget_key(clinic)
    with pytest.raises(InputError, match=r"line 1: .* no row of any cycle"):
        purge(clinic, "--recordings", listed)


def test_a_killed_purge_is_ended_by_its_list_or_by_its_journal(
    clinic: Path, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then nothing is listed; another list is refused with the command that ends this one."""
    whole = tmp_path / "whole/ward"
    shutil.copytree(clinic, whole)
    apply(whole, listed)
    label = json.loads(purge(clinic, "--recordings", listed, "--json"))["confirm"]
    swap_file = purge_journal_file.swap_file
    done: list[Path] = []

    def killed(path: Path, kind: ChangeKind) -> None:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(path)
        swap_file(path, kind)

    monkeypatch.setattr(purge_journal_file, "swap_file", killed)
    purge(clinic, "--recordings", listed, "--confirm", label)
    assert len(done) == 3
    monkeypatch.setattr(purge_journal_file, "swap_file", swap_file)
    journal = clinic / JOURNAL_NAME
    assert journal.stat().st_mode & 0o777 == 0o600
    ends = f"asr-flywheel purge {clinic} --recordings {journal} --apply"
    with pytest.raises(InputError, match="the cycles are not whole") as said:
        purge(clinic, "--recordings", listed)
    assert ends in str(said.value)
    listed.write_text("cycle1/audio/1.wav\n")
    with pytest.raises(InputError, match=f"another purge .* --recordings {journal}"):
        purge(clinic, "--recordings", listed, "--apply")
    assert "a purge was interrupted: going on with it" in purge(*ends.split()[2:])
    own = {keyed_hashes.KEY_NAME, audit_log.NAME, audit_log.HEAD_NAME}
    left, expected = (
        {name: value for name, value in factories.snapshot(place).items() if name not in own}
        for place in (clinic, whole)
    )
    assert left == expected


def test_voices_of_a_list_lose_their_names_and_others_are_told(
    clinic: Path, tmp_path: Path
) -> None:
    """A voice that is listed itself; of one whose last row goes, the user is told."""
    listed = tmp_path / "list.jsonl"
    listed.write_text('{"voice_id": "doctor-0"}\n{"audio_filepath": "audio/9.wav"}\n')
    figures = {"groups": [{"value": name} for name in ("doctor-0", "guest-1", "doctor-1")]}
    (clinic / "cycle1/decision.json").write_text(json.dumps(figures))
    said = apply(clinic, listed)
    assert "voice    'guest-1': no row of it stays" in said
    assert 'add the line {"voice_id": "guest-1"}' in said
    groups = json.loads((clinic / "cycle1/decision.json").read_text())["groups"]
    assert groups[0]["value"].startswith("purged-")
    assert [group["value"] for group in groups[1:]] == ["guest-1", "doctor-1"]
    assert purge_cases.read_rows(clinic / "cycle1/manifest.jsonl") == [purge_cases.STAYS]


def test_another_cut_of_the_same_recording_is_told(clinic: Path, listed: Path) -> None:
    """Its samples differ, so that it is no copy; it stays until the user names it."""
    cuts = {"cycle1": ("audio/0.wav", 1.0, 4.0), "cycle3": ("audio/9.wav", 3.0, 9.0)}
    for cycle, (audio, start, end) in cuts.items():
        origin = {"recording": "/src/a.wav", "recording_sha256": "a" * 64, "channel": None}
        row = {"audio_filepath": audio, **origin, "start": start, "end": end}
        factories.write_rows(clinic / cycle / "provenance.jsonl", [row])
    listed.write_text("cycle1/audio/0.wav\n")
    said = purge(clinic, "--recordings", listed)
    shared = f"{clinic / 'cycle3/manifest.jsonl'}, row 1, audio/9.wav: 1.0 s of its sound"
    assert f"stays    {shared} are in a row that goes; name it too?" in said
    listed.write_text("a.wav\n")
    assert "stays " not in purge(clinic, "--recordings", listed)


def test_a_list_inside_of_what_is_purged_is_refused(clinic: Path) -> None:
    """Its own lines would go, and a purge that is killed could not be resumed by it."""
    inside = clinic / "cycle1/list.txt"
    inside.write_text("cycle1/audio/0.wav\n")
    with pytest.raises(InputError, match=r"lies in a folder that is purged, .* Fix: move it out"):
        purge(clinic, "--recordings", inside)
    outside = clinic / "list.txt"
    inside.rename(outside)
    said = purge(clinic, "--recordings", outside)
    assert "1 row, 1 file of sound" in said
    assert "not searched" not in said
    assert outside.read_text() == "cycle1/audio/0.wav\n"


def test_a_folder_without_cycles_is_refused(tmp_path: Path, listed: Path) -> None:
    """There is nothing that a list could mean."""
    with pytest.raises(InputError, match="holds no cycle"):
        purge(tmp_path, "--recordings", listed)


def test_a_row_that_may_be_the_purged_one_keeps_none_of_its_words(
    clinic: Path, tmp_path: Path
) -> None:
    """A file too deep to tell by its place names a path of two recordings, with the purged text."""
    factories.write_wav(clinic / "cycle3/audio/0.wav", 0.1, seed=30)
    factories.write_rows(
        clinic / "cycle3/manifest.jsonl",
        [{"audio_filepath": "audio/0.wav", "text": "words that stay here"}],
    )
    deep = clinic / "cycle1/a/b/c/d/e/f/parity.json"
    deep.parent.mkdir(parents=True)
    rows = [{"audio_filepath": "audio/0.wav", "offline": purge_cases.GOES}]
    deep.write_text(json.dumps({"differences": rows}))
    (clinic / "cycle1/note.md").write_text(f"said: {purge_cases.GOES}\nstays\n")
    listed = tmp_path / "list.txt"
    listed.write_text("cycle1/audio/0.wav\n")
    apply(clinic, listed)
    assert "heffalump" not in deep.read_text()
    assert (clinic / "cycle1/note.md").read_text() == "stays\n"


def test_a_folder_that_is_empty_then_goes_with_its_name(clinic: Path, tmp_path: Path) -> None:
    """It may name the patient; folders outside of cycles, links and those in use stay."""
    cycle = clinic / "cycle3"
    outside = tmp_path / "recorder/visit-9"
    outside.mkdir(parents=True)
    linked = tmp_path / "disk/case-4"
    linked.mkdir(parents=True)
    (cycle / "linked").symlink_to(linked)
    places = ("audio/mrs-x/visit-1", "audio/mrs-x/visit-2", "linked", str(outside), "audio/mr-y")
    rows = []
    for number, place in enumerate(places):
        (cycle / place).mkdir(parents=True, exist_ok=True)
        factories.write_wav(cycle / place / f"r{number}.wav", 0.1, seed=50 + number)
        rows.append({"audio_filepath": f"{place}/r{number}.wav", "text": f"said so {number}"})
    factories.write_rows(cycle / "manifest.jsonl", rows)
    listed = tmp_path / "list.txt"
    listed.write_text("r0.wav\nr1.wav\nr2.wav\nr3.wav\n")
    apply(clinic, listed)
    assert not (cycle / "audio/mrs-x").exists()
    assert (cycle / "audio/mr-y/r4.wav").is_file()
    assert (cycle / "linked").is_symlink()
    assert not list(linked.iterdir())
    assert outside.is_dir()


def test_a_text_beside_a_recording_goes_with_it(clinic: Path, tmp_path: Path) -> None:
    """It has its name; one of a recording that stays does not go, nor does a cycle's own file."""
    cycle = clinic / "cycle1"
    for name in ("audio/0.txt", "audio/0.TextGrid", "audio/1.txt", "0.txt", "audio/2.txt"):
        (cycle / name).write_text("words of its own\n")
    factories.write_wav(cycle / "audio/2.flac", 0.1, seed=77)
    listed = tmp_path / "list.txt"
    listed.write_text("cycle1/audio/0.wav\ncycle1/audio/2.wav\n")
    said = apply(clinic, listed)
    assert f"remove   {cycle / 'audio/0.txt'}: beside the recording, with its name" in said
    left = {path.relative_to(cycle).as_posix() for path in cycle.rglob("*.[tT]*")}
    assert left == {"audio/1.txt", "0.txt", "audio/2.txt"}
