r"""Paths of Windows and URLs are understood, or named as the cause.

handy-computer/transcribe.cpp#119, ggml-org/whisper.cpp#769, nl8590687/ASRT_SpeechRecognition#308
(both slashes in one path), huggingface/datasets#3016, pytorch/audio#2519, WinMerge/winmerge#99 and
Manishearth/pathdiff#20 (the prefix of long paths).
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.audio_paths import as_posix, host_path, path_parts
from tasks.data.path_mapping import parse_mapping, rewrite
from tasks.data.preflight import PreflightResult, preflight
from tests.support import factories
from tests.support.cases import case

if TYPE_CHECKING:
    from pathlib import Path

PATHS = {
    "audio/a.wav": "audio/a.wav",
    "/data/audio/a.wav": "/data/audio/a.wav",
    "audio\\a.wav": "audio/a.wav",
    ".\\audio\\a.wav": "audio/a.wav",
    "C:\\Users\\me\\a.wav": "/Users/me/a.wav",
    "D:/speech/THCHS-30\\train/a.wav": "/speech/THCHS-30/train/a.wav",
    "/data/THCHS-30\\train/a.wav": "/data/THCHS-30/train/a.wav",
    "\\\\nas\\share\\a.wav": "/nas/share/a.wav",
    "file:///home/me/a%20b.wav": "/home/me/a b.wav",
    "file:///C:/Users/me/a.wav": "/Users/me/a.wav",
    "s3://bucket/audio/a.wav": "/bucket/audio/a.wav",
    "audio/12:30 a.wav": "audio/12:30 a.wav",
    "\\\\?\\C:\\Users\\me\\a.wav": "/Users/me/a.wav",
    "\\\\?\\UNC\\nas\\share\\a.wav": "/nas/share/a.wav",
    "\\\\.\\D:\\a.wav": "/a.wav",
    "//?/C:/Users/me/a.wav": "/Users/me/a.wav",
    "file:\\\\\\C:\\me\\a.wav": "/me/a.wav",
}


@pytest.mark.parametrize(("written", "posix"), PATHS.items())
def test_a_path_of_any_host_has_the_same_parts(written: str, posix: str) -> None:
    """Without drive and scheme; a colon inside a name is no drive."""
    assert as_posix(written) == posix
    assert path_parts(written) == path_parts(posix)


def test_two_drives_are_two_folders() -> None:
    """For a mapping, where one would hide the other."""
    assert host_path("C:\\a\\b.wav") != host_path("D:\\a\\b.wav")
    assert host_path("c:\\a\\b.wav") == host_path("C:/a/b.wav")
    assert host_path("\\\\?\\C:\\a\\b.wav") == host_path("C:/a/b.wav")
    assert host_path("\\\\nas\\share\\b.wav").parts[-1] == "b.wav"


def check(folder: Path, rows: list[dict[str, Any]] | None = None) -> PreflightResult:
    """The preflight of a cycle's audio."""
    if rows is not None:
        factories.write_rows(folder / "manifest.jsonl", rows)
    return preflight(folder / "manifest.jsonl", AudioLimits(16000), None)


def test_the_cases_windows_paths_are_understood(tmp_path: Path) -> None:
    """The relative one as it is, the absolute one by the name of the cycle's folder."""
    folder = tmp_path / "cycle1"
    shutil.copytree(case("17-windows-paths") / "cycle1", folder)
    result = check(folder)
    result.raise_errors()
    assert [row.audio for row in result.rows] == [folder / "audio/a.wav", folder / "audio/b.wav"]
    assert [finding.code for finding in result.findings] == ["audio-moved"]


@pytest.mark.parametrize(
    "written",
    [
        "audio\\0.wav",
        ".\\audio/0.wav",
        "E:\\x\\cycle1\\audio\\0.wav",
        "\\\\nas\\cycle1\\audio\\0.wav",
        "\\\\?\\E:\\x\\cycle1\\audio\\0.wav",
        "file:///srv/cycle1/audio/0.wav",
        "s3://clinic/cycle1/audio/0.wav",
    ],
)
def test_audio_that_is_here_is_found_by_a_foreign_path(cycle: Path, written: str) -> None:
    """By what follows the name of the cycle's folder."""
    row = {**factories.cycle_rows()[0], "audio_filepath": written}
    result = check(cycle, [row])
    result.raise_errors()
    assert result.rows[0].audio == cycle / "audio/0.wav"


@pytest.mark.parametrize(
    ("written", "told", "fix"),
    [
        ("audio\\none.wav", "it is a path of Windows", "audio/none.wav"),
        ("C:\\Users\\me\\other\\a.wav", "path of Windows", "--map 'C:\\Users\\me\\other=OURS'"),
        ("https://example.org/a.wav", "it is a URL", "download it"),
        ("s3://clinic/other/a.wav", "it is a URL", "download it"),
        (
            "/home/alice/other/a.wav",
            "no such audio file on this host",
            "--map /home/alice/other=",
        ),
    ],
)
def test_a_foreign_path_that_leads_nowhere_is_named_as_the_cause(
    cycle: Path, written: str, told: str, fix: str
) -> None:
    """The fix is of this very path."""
    row = {**factories.cycle_rows()[0], "audio_filepath": written}
    (found,) = check(cycle, [row]).findings
    assert found.code == "audio-missing"
    assert told in found.problem
    assert fix in found.fix


def test_a_backslash_in_a_name_of_this_host_is_a_character(cycle: Path) -> None:
    """The file as it is written goes first."""
    shutil.copy(cycle / "audio/1.wav", cycle / "audio\\0.wav")
    row = {**factories.cycle_rows()[1], "audio_filepath": "audio\\0.wav"}
    assert check(cycle, [row]).rows[0].audio == cycle / "audio\\0.wav"


def test_windows_folders_can_be_mapped_and_the_fix_is_complete(tmp_path: Path) -> None:
    """Who follows the error's fix gets the copy."""
    folder = tmp_path / "cycle1"
    shutil.copytree(case("17-windows-paths") / "cycle1", folder)
    out = tmp_path / "out.jsonl"
    mappings = [parse_mapping("C:\\Users\\me\\cycle1=/workspace")]
    with pytest.raises(InputError) as told:
        rewrite(folder / "manifest.jsonl", out, mappings)
    assert f"--map {folder}/audio=PLACE" in str(told.value)
    mappings.append(parse_mapping(f"{folder}/audio=/workspace/audio"))
    assert rewrite(folder / "manifest.jsonl", out, mappings) == 2
    written = [json.loads(line)["audio_filepath"] for line in out.read_text().splitlines()]
    assert written == ["/workspace/audio/a.wav", "/workspace/audio/b.wav"]
