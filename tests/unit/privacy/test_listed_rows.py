"""A line of a list means rows beyond doubt, in every cycle; any other line is an error."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.privacy.listed_rows import ListedRows, find_listed_rows
from tasks.privacy.purge_list import read_purge_list
from tasks.privacy.purge_scope import find_scope
from tasks.privacy.purgeable_rows import read_manifests, samples_of
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """Three cycles: the first two have a row of one path each, the third the second one's sound.

    Rows 1 of the first two cycles were cut from one source, rows 2 from sources of one name, whose
    conversations have one name too.
    """
    for number in (1, 2, 3):
        cycle = tmp_path / f"ward/cycle{number}"
        (cycle / "audio").mkdir(parents=True)
        rows: list[dict[str, Any]] = []
        origins = []
        for row in range(3):
            factories.write_wav(cycle / f"audio/{row}.wav", 0.1, seed=10 * number + row)
            source = "/src/DICT_9.wav" if row == 1 else f"/src{number}/visit.wav"
            rows.append(
                {
                    "audio_filepath": f"audio/{row}.wav",
                    "text": f"words {row} of cycle {number}",
                    "voice_id": f"voice {row}",
                    "conversation_id": f"recording {row}",
                    "patient_id": 100 * number + row,
                }
            )
            if row and number < 3:
                sha256 = hashlib.sha256(source.encode()).hexdigest()
                origin = {"recording": source, "recording_sha256": sha256}
                origins.append({"audio_filepath": f"audio/{row}.wav", **origin})
        factories.write_rows(cycle / "manifest.jsonl", rows)
        factories.write_rows(cycle / "provenance.jsonl", origins)
    shutil.copy(tmp_path / "ward/cycle2/audio/0.wav", tmp_path / "ward/cycle3/audio/same.wav")
    last = tmp_path / "ward/cycle3/manifest.jsonl"
    same = {"audio_filepath": "audio/same.wav", "text": "again", "voice_id": "7"}
    last.write_text(last.read_text() + json.dumps(same) + "\n")
    return tmp_path / "ward"


def find(clinic: Path, *lines: object, first: int | None = None) -> list[ListedRows]:
    """The rows of a list's lines."""
    path = clinic.parent / "list.txt"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))
    rows = list(read_manifests(find_scope(clinic).files))
    cycle = None if first is None else open_cycle(clinic / f"cycle{first}")
    return find_listed_rows(read_purge_list(path), rows, clinic, first=cycle)


def named(found: ListedRows) -> list[str]:
    """The recordings of a line, from the folder of cycles on."""
    return sorted(f"{row.manifest.parent.name}/{row.written}" for row in found.rows)


@pytest.mark.parametrize(
    ("line", "kind", "rows"),
    [
        ("cycle2/audio/0.wav", "recording", ["cycle2/audio/0.wav"]),
        ("./cycle2/audio/0.wav", "recording", ["cycle2/audio/0.wav"]),
        ("audio/same.wav", "recording", ["cycle3/audio/same.wav"]),
        ("same", "recording", ["cycle3/audio/same.wav"]),
        ("DICT_9.wav", "source recording", ["cycle1/audio/1.wav", "cycle2/audio/1.wav"]),
        ("DICT_9", "source recording", ["cycle1/audio/1.wav", "cycle2/audio/1.wav"]),
        ("/src2/visit.wav", "source recording", ["cycle2/audio/2.wav"]),
        ("voice 1", "voice", [f"cycle{n}/audio/1.wav" for n in (1, 2, 3)]),
        ("recording 1", "conversation", [f"cycle{n}/audio/1.wav" for n in (1, 2, 3)]),
        (
            {"audio_filepath": "audio/0.wav", "text": "words 0 of cycle 2", "duration": 9},
            "recording",
            ["cycle2/audio/0.wav"],
        ),
        ({"patient_id": "101"}, "rows", ["cycle1/audio/1.wav"]),
        ({"patient_id": 101, "voice_id": "voice 1"}, "rows", ["cycle1/audio/1.wav"]),
        ({"voice_id": "7"}, "voice", ["cycle3/audio/same.wav"]),
    ],
)
def test_what_a_line_means(clinic: Path, line: object, kind: str, rows: list[str]) -> None:
    """A source recording's rows, a voice's and a conversation's are of every cycle."""
    (found,) = find(clinic, line)
    assert (found.kind, named(found)) == (kind, rows)
    assert (found.voice is not None) == (kind == "voice")


def test_a_hash_of_samples_means_every_copy(clinic: Path) -> None:
    """Other cycles have the same sound under another name."""
    (found,) = find(clinic, samples_of(clinic / "cycle2/audio/0.wav"))
    assert named(found) == ["cycle2/audio/0.wav", "cycle3/audio/same.wav"]


def test_an_absolute_path_may_go_by_a_link(clinic: Path) -> None:
    """A disk may be mounted under two names."""
    (clinic.parent / "mounted").symlink_to(clinic)
    (found,) = find(clinic, str(clinic.parent / "mounted/cycle1/audio/2.wav"))
    assert named(found) == ["cycle1/audio/2.wav"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "audio/0.wav",
            r"several recordings \(cycle1/audio/0.wav, cycle2/audio/0.wav, cycle3/.*path",
        ),
        ("visit.wav", r"several recordings that were imported \(/src1/visit.wav, /src2/visit.wav"),
        (
            "recording 2",
            r"of different recordings in several cycles \(cycle1/manifest.jsonl, cycle2",
        ),
        ({"conversation_id": "recording 2"}, "of different recordings in several cycles"),
        (
            {"audio_filepath": "cycle1/audio/0.wav", "text": "other words"},
            "cycle1/manifest.jsonl, row 1, has this recording with another text",
        ),
        ("nobody.wav", r"no row of any cycle in .* has it\. Fix: write it as a manifest does"),
        ({"patient_id": 7}, "no row of any cycle"),
        ({"text": "words 0 of cycle 1", "voice_id": "voice 1"}, "no row of any cycle"),
        ("None", "no row of any cycle"),
    ],
)
def test_a_line_that_is_not_clear_is_refused(clinic: Path, line: object, said: str) -> None:
    """File, line and value are named, and what to write instead."""
    with pytest.raises(InputError, match=said) as refused:
        find(clinic, "cycle1/audio/1.wav", line)
    assert f"{clinic.parent / 'list.txt'}: line 2: " in str(refused.value)
    assert "line 1" not in str(refused.value)
    assert "Nothing was purged: 1 line of 2 must be mended first." in str(refused.value)


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("audio/0.wav", ["cycle2/audio/0.wav"]),
        ("visit", ["cycle2/audio/2.wav"]),
        ("recording 2", ["cycle2/audio/2.wav"]),
        ("DICT_9", ["cycle1/audio/1.wav", "cycle2/audio/1.wav"]),
        ("audio/same.wav", ["cycle3/audio/same.wav"]),
    ],
)
def test_the_cycle_that_is_named_says_which_is_meant(
    clinic: Path, line: str, rows: list[str]
) -> None:
    """Where only one can be meant, it is found in any cycle."""
    (found,) = find(clinic, line, first=2)
    assert named(found) == rows


def test_letters_may_be_composed_or_not(clinic: Path) -> None:
    """A list that was made on another system looks the same, and is."""
    shutil.copy(clinic / "cycle1/audio/0.wav", clinic / "cycle1/audio/M\u00fcller.wav")
    manifest = clinic / "cycle1/manifest.jsonl"
    row = {"audio_filepath": "audio/M\u00fcller.wav", "text": "f\u00fcr ihn"}
    manifest.write_text(f"{manifest.read_text()}{json.dumps(row)}\n")
    other = {"audio_filepath": "audio/Mu\u0308ller.wav", "text": "fu\u0308r ihn"}
    for line in ("Mu\u0308ller.wav", "cycle1/audio/Mu\u0308ller.wav", other):
        (found,) = find(clinic, line)
        assert named(found) == ["cycle1/audio/M\u00fcller.wav"]


def test_a_name_of_two_kinds_is_refused(clinic: Path) -> None:
    """Voice 7 and recording 7.wav are told apart by the user, not guessed."""
    shutil.copy(clinic / "cycle1/audio/0.wav", clinic / "cycle1/audio/7.wav")
    manifest = clinic / "cycle1/manifest.jsonl"
    manifest.write_text(manifest.read_text() + '{"audio_filepath": "audio/7.wav", "text": "x"}\n')
    with pytest.raises(InputError, match=r"means a recording \(1 row\) and a voice \(1 row\)"):
        find(clinic, "7")
    (found,) = find(clinic, {"voice_id": "7"})
    assert named(found) == ["cycle3/audio/same.wav"]


def test_a_recording_in_place_is_one_with_what_an_import_cut_from_it(clinic: Path) -> None:
    """A manifest may refer to the file that a later cycle was imported from."""
    source = clinic.parent / "src/DICT_1.wav"
    source.parent.mkdir()
    shutil.copy(clinic / "cycle1/audio/0.wav", source)
    row = {"audio_filepath": str(source), "text": "whole"}
    factories.write_rows(clinic / "cycle1/manifest.jsonl", [row])
    origin = {"audio_filepath": "audio/0.wav", "recording": str(source), "recording_sha256": "a"}
    factories.write_rows(clinic / "cycle2/provenance.jsonl", [origin])
    for name in (str(source), "DICT_1.wav", "DICT_1"):
        (found,) = find(clinic, name)
        assert named(found) == [f"cycle1/{source}", "cycle2/audio/0.wav"]


def test_all_faults_are_named_at_once(clinic: Path) -> None:
    """A list of hundreds is mended in one go; very many are counted."""
    with pytest.raises(InputError) as refused:
        find(clinic, *(f"nobody {n}" for n in range(30)), "DICT_9")
    lines = str(refused.value).splitlines()
    assert len(lines) == 22
    assert lines[-2:] == [
        "and 10 more lines",
        "Nothing was purged: 30 lines of 31 must be mended first.",
    ]
