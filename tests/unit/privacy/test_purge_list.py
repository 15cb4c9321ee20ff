"""A user's list is read as text or as rows; what is neither is named by its line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.purge_journal import JOURNAL_NAME
from tasks.privacy.purge_list import read_purge_list

if TYPE_CHECKING:
    from pathlib import Path


def test_blank_lines_repeated_ones_and_windows_endings_are_no_matter(tmp_path: Path) -> None:
    """The hash that is typed is of what the lines say."""
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_bytes(b"\xef\xbb\xbfa b.wav\r\n\r\n  c.wav \r\na b.wav\r\n")
    second.write_text("c.wav\na b.wav")
    one, other = read_purge_list(first), read_purge_list(second)
    assert [(entry.line, entry.name) for entry in one.entries] == [(1, "a b.wav"), (3, "c.wav")]
    assert one.digest == other.digest
    assert one.label == f"a.txt:{one.digest[:12]}"


def test_a_row_of_a_manifest_means_its_recording(tmp_path: Path) -> None:
    """What a result has beside path and text need not be in the manifest."""
    path = tmp_path / "rows.jsonl"
    rows = [{"audio_filepath": "a.wav", "text": "x", "hyp": "y", "terms": []}, {"patient_id": 7}]
    path.write_text("\n".join(map(json.dumps, rows)))
    first, second = read_purge_list(path).entries
    assert (first.name, first.fields) == (None, {"audio_filepath": "a.wav", "text": "x"})
    assert second.fields == {"patient_id": 7}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"a.wav\n", "a.csv: is a table. Fix: save the column"),
        ("a.txt", b"\n \n", "a.txt: names nothing. Fix: write a recording a line."),
        ("a.txt", "ä".encode("utf-16"), "a.txt: is no text in UTF-8 .* Fix: save it as UTF-8."),
        ("a.txt", b'a.wav\n{"voice_id": \n', r"a.txt: line 2: '\{\"voice_id\":' is no JSON"),
        (
            "a.txt",
            b'["a.wav"]\n',
            "a.txt: line 1: .* has no field that tells rows apart. Fix: write one",
        ),
        ("a.txt", b'{"terms": []}\n', r"a.txt: line 1: terms is \[\]; a field that means rows"),
        ("a.txt", b'{"voice_id": ""}\n', "line 1: voice_id is ''; a field"),
        ("a.txt", b'{"voice_id": null}\n', "line 1: voice_id is None; a field"),
        ("a.txt", b'{"audio_filepath": null}\n', "line 1: .* has no field that tells rows"),
        ("a.txt", b'{"audio_filepath": 7}\n', "line 1: audio_filepath is 7, no path"),
        ("a.txt", b"a.wav\0\n", "line 1: .* is no name of a recording"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """File, line, value and fix."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_purge_list(tmp_path / name)


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    """So is a folder."""
    with pytest.raises(InputError, match=r"gone.txt: there is no such file\. Fix"):
        read_purge_list(tmp_path / "gone.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_purge_list(tmp_path)


def test_a_journal_is_the_list_that_its_purge_was_given(tmp_path: Path) -> None:
    """The list may be lost, or changed, when a purge that was killed is resumed."""
    listed = tmp_path / "a.txt"
    listed.write_text('a.wav\n{"voice_id": "7"}\n')
    journal = tmp_path / JOURNAL_NAME
    journal.write_text(json.dumps({"request": {"recordings": ['{"voice_id": "7"}', "a.wav"]}}))
    assert read_purge_list(journal).digest == read_purge_list(listed).digest
    journal.write_text(json.dumps({"request": {"recordings": None}}))
    with pytest.raises(InputError, match="was given no list"):
        read_purge_list(journal)
