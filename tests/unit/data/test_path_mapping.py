"""Rewriting a manifest's paths for a container or another host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.path_mapping import parse_mapping, rewrite
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


def rewritten(manifest: Path, out: Path, *mappings: str) -> list[str]:
    """The audio paths of the copy."""
    rewrite(manifest, out, [parse_mapping(one) for one in mappings])
    return [json.loads(line)["audio_filepath"] for line in out.read_text().splitlines()]


def write(folder: Path, *audio: str) -> Path:
    """A manifest whose rows name this audio, which need not exist."""
    rows = [{"audio_filepath": path, "text": "hello"} for path in audio]
    return factories.write_rows(folder / "manifest.jsonl", rows)


def test_relative_paths_count_from_the_manifest(tmp_path: Path) -> None:
    """Both spellings of one file end at one place."""
    manifest = write(tmp_path, "audio/a.wav", "./audio/../audio/b.wav", f"{tmp_path}/audio/c.wav")
    assert rewritten(manifest, tmp_path / "out.jsonl", f"{tmp_path}=/workspace") == [
        "/workspace/audio/a.wav",
        "/workspace/audio/b.wav",
        "/workspace/audio/c.wav",
    ]


def test_a_manifest_of_another_host_is_rewritten_unseen(tmp_path: Path) -> None:
    """Its folders need not exist here; the innermost mapping counts, in whatever order."""
    manifest = write(tmp_path, "/home/me/cycle1/a.wav", "/home/me/more/b.wav", "/mnt/x/c.wav")
    mappings = ("/home/me=/in/0", "/home/me/cycle1=/in/1", "/mnt/x=/in/2")
    wanted = ["/in/1/a.wav", "/in/0/more/b.wav", "/in/2/c.wav"]
    assert rewritten(manifest, tmp_path / "a.jsonl", *mappings) == wanted
    assert rewritten(manifest, tmp_path / "b.jsonl", *reversed(mappings)) == wanted


def test_other_fields_and_the_original_stay(tmp_path: Path) -> None:
    """Only the path changes, and only in the copy."""
    row = {"audio_filepath": "a.wav", "text": "take aspirin", "duration": 1.5, "term": "aspirin"}
    manifest = factories.write_rows(tmp_path / "manifest.jsonl", [{**row, "site": "ward 3"}])
    before = manifest.read_bytes()
    rewritten(manifest, tmp_path / "out.jsonl", f"{tmp_path}=/w")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        **row,
        "audio_filepath": "/w/a.wav",
        "site": "ward 3",
    }
    assert manifest.read_bytes() == before


def test_a_name_that_only_begins_alike_is_no_match(tmp_path: Path) -> None:
    """/data/cycle1 does not hold /data/cycle10."""
    manifest = write(tmp_path, "/data/cycle10/a.wav")
    with pytest.raises(
        InputError, match=r"row 1: '/data/cycle10/a\.wav' is under no mapped folder"
    ):
        rewritten(manifest, tmp_path / "out.jsonl", "/data/cycle1=/workspace")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("text", ["", "a", "=", "a=", "=b", "a=/b", "/a=b", "/a/../b=/c"])
def test_mappings_are_absolute_paths(text: str) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(InputError, match="/workspace"):
        parse_mapping(text)


def test_a_source_may_hold_an_equals_sign(tmp_path: Path) -> None:
    """The last one divides."""
    manifest = write(tmp_path, "/data/a=b/c.wav")
    assert rewritten(manifest, tmp_path / "o.jsonl", "/data/a=b=/w") == ["/w/c.wav"]


def test_the_manifest_itself_is_never_the_copy(tmp_path: Path) -> None:
    """Not even through a link."""
    manifest = write(tmp_path, "a.wav")
    (tmp_path / "link.jsonl").symlink_to(manifest)
    with pytest.raises(InputError, match="never edited"):
        rewritten(manifest, tmp_path / "link.jsonl", f"{tmp_path}=/w")
