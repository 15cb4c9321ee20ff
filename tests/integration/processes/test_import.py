"""An import as a command: killed and resumed, with ffmpeg, and out again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tasks.common.errors import InputError
from tests.support import audio_cases, corpora, factories
from tests.support.corpora import run, speech, write

ROOT = Path(__file__).parents[3]


def command(*arguments: object) -> list[str]:
    """A line of the command."""
    return [sys.executable, "-m", "asr_flywheel.cli", *map(str, arguments)]


def test_a_killed_import_is_resumed(tmp_path: Path) -> None:
    """By SIGKILL: the cycle's folder is not there; the next import begins where it was."""
    for number in range(40):
        write(tmp_path / "source" / f"{number}.wav", speech(20, seed=number, rate=44100), 44100)
    rows = [{"audio_filepath": f"{n}.wav", "text": f"row {n}"} for n in range(40)]
    source = factories.write_rows(tmp_path / "source" / "manifest.jsonl", rows)
    line = command("import", source, tmp_path / "cycle1", "--workers", 1, "--no-check")
    journal = tmp_path / ".cycle1.importing" / "journal.jsonl"
    process = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not journal.is_file() or journal.read_bytes().count(b"\n") < 3:
        assert process.poll() is None, "the import ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cycle1").exists()
    done = journal.read_bytes().count(b"\n")
    again = subprocess.run([*line, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    summary = json.loads(again.stdout)
    assert summary["rows"] == 40
    assert summary["resumed"] >= done > 0
    assert len(corpora.rows(tmp_path / "cycle1")) == 40
    assert not journal.parent.exists()


def test_in_and_out_again(tmp_path: Path) -> None:
    """Import, export and import give the same texts; a refusal exits with 2 and names the line."""
    for number in range(2):
        write(tmp_path / "source" / f"{number}.wav", speech(1, seed=number))
    table = "audio,text\n0.wav,take aspirin\n1.wav,no fever\n"
    (tmp_path / "source" / "t.csv").write_text(table)
    for arguments in (
        ("import", tmp_path / "source" / "t.csv", tmp_path / "cycle1"),
        ("export", tmp_path / "cycle1", tmp_path / "out", "--format", "kaldi"),
        ("import", tmp_path / "out", tmp_path / "cycle2"),
    ):
        subprocess.run(command(*arguments), cwd=ROOT, check=True, stdin=subprocess.DEVNULL)
    texts = [row["text"] for row in corpora.rows(tmp_path / "cycle2")]
    assert texts == ["take aspirin", "no fever"]
    (tmp_path / "source" / "t.csv").write_text(table + "2.wav,gone\n")
    refused = subprocess.run(
        command("import", tmp_path / "source" / "t.csv", tmp_path / "cycle3"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "t.csv:4: there is no recording" in refused.stderr


def test_floats_that_libsndfile_reads_as_integers_are_not_imported(tmp_path: Path) -> None:
    """Without ffmpeg, which reads them, the import is refused; it was distorted sound before."""
    (tmp_path / "source").mkdir()
    voice = (speech(3) / 32768).astype(np.float32)
    audio_cases.write_extended_wave64(tmp_path / "source" / "a.w64", voice, 16000)
    assert soundfile.info(tmp_path / "source" / "a.w64").subtype == "PCM_32"  # it is not
    rows = [{"audio_filepath": "a.w64", "text": "whole"}]
    source = factories.write_rows(tmp_path / "source" / "manifest.jsonl", rows)
    with pytest.raises(InputError, match=r"reads the floats of this Wave64 as integers.*ffmpeg"):
        run(source, tmp_path / "cycle1")


@pytest.mark.needs("ffmpeg")
def test_with_ffmpeg_they_are_what_they_are(tmp_path: Path) -> None:
    """Sample by sample."""
    (tmp_path / "source").mkdir()
    voice = speech(3)
    audio_cases.write_extended_wave64(
        tmp_path / "source" / "a.w64", (voice / 32768).astype(np.float32), corpora.RATE
    )
    rows = [{"audio_filepath": "a.w64", "text": "whole"}]
    source = factories.write_rows(tmp_path / "source" / "manifest.jsonl", rows)
    run(source, tmp_path / "cycle1")
    (row,) = corpora.rows(tmp_path / "cycle1")
    assert np.array_equal(corpora.samples(tmp_path / "cycle1", 0), voice)
    assert row["text"] == "whole"


@pytest.mark.needs("ffmpeg")
def test_an_m4a_is_read_by_ffmpeg(tmp_path: Path) -> None:
    """Whole and in parts; a part is a part of the whole decoding."""
    voice = speech(6)
    write(tmp_path / "a.wav", voice)
    (tmp_path / "source").mkdir()
    target = tmp_path / "source" / "a.m4a"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-c:a", "aac", "-b:a", "128k", target],
        check=True,
    )
    rows: list[dict[str, Any]] = [
        {"audio_filepath": "a.m4a", "text": "whole"},
        {"audio_filepath": "a.m4a", "text": "part", "offset": 1.5, "duration": 2},
    ]
    source = factories.write_rows(tmp_path / "source" / "manifest.jsonl", rows)
    run(source, tmp_path / "cycle1")
    whole, part = (corpora.samples(tmp_path / "cycle1", row) for row in range(2))
    assert len(whole) == pytest.approx(len(voice), abs=2048)
    assert np.array_equal(part, whole[24000:56000])
    assert np.corrcoef(whole[: len(voice)], voice[: len(whole)])[0, 1] > 0.9
    assert corpora.provenance(tmp_path / "cycle1")[0]["source_format"] == "M4A by ffmpeg"
