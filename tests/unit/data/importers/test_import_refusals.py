"""What an import refuses or warns of: lengths, broken and silent recordings, and its own place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.preflight import preflight
from tests.support import corpora
from tests.support.corpora import corpus, manifest, one, run, speech, write

if TYPE_CHECKING:
    from pathlib import Path


def test_rows_that_no_run_would_take_are_told(tmp_path: Path) -> None:
    """The row is imported, since it can be transcribed; the preflight says what to do, too."""
    write(tmp_path / "source" / "long.wav", speech(21))
    write(tmp_path / "source" / "short.wav", speech(0.05, seed=2))
    source = manifest(
        tmp_path / "source",
        {"audio_filepath": "long.wav", "text": "much was said"},
        {"audio_filepath": "short.wav", "text": "a"},
    )
    summary = run(source, tmp_path / "cycle1", shortest=0.1, longest=20.0)
    told = "\n".join(summary.warnings)
    assert "row 1: a run refuses rows over 20 s ('21.000 s')" in told
    assert "--cut" in told
    assert "row 2: a run refuses rows under 0.1 s" in told
    limits = AudioLimits(16000, min_duration=0.1, max_duration=20.0)
    checked = preflight(tmp_path / "cycle1" / "manifest.jsonl", limits, None)
    with pytest.raises(InputError, match="asr-flywheel import MANIFEST cycleN --cut"):
        checked.raise_errors()


def test_a_recording_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    """Its header promises more than it holds."""
    path = write(tmp_path / "source" / "a.wav", speech(1))
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(InputError, match=r"manifest.jsonl:1: .*cut off"):
        run(one(tmp_path / "source", "a.wav"), tmp_path / "cycle1")


def test_one_sound_with_two_texts_is_refused(tmp_path: Path) -> None:
    """Preflight would refuse it later, without the source's lines."""
    for name in ("a.wav", "b.flac"):
        write(tmp_path / "source" / name, speech(1))
    source = manifest(
        tmp_path / "source",
        {"audio_filepath": "a.wav", "text": "one"},
        {"audio_filepath": "b.flac", "text": "two"},
    )
    with pytest.raises(InputError, match=r"manifest.jsonl:2: the same sound as .*manifest.jsonl:1"):
        run(source, tmp_path / "cycle1")


def test_a_silent_recording_is_found_by_the_check(tmp_path: Path) -> None:
    """With the source's line; without the check it is imported."""
    write(tmp_path / "source" / "a.wav", np.ones(16000, dtype=np.int16))
    source = one(tmp_path / "source", "a.wav")
    with pytest.raises(InputError, match=r"manifest.jsonl:1: .*holds no sound"):
        run(source, tmp_path / "cycle1")
    assert run(source, tmp_path / "cycle1", check=False).rows == 1


def test_a_cycle_with_content_is_refused(tmp_path: Path) -> None:
    """So is a cycle inside the source, and a folder of another name."""
    source = corpus(tmp_path / "source", 1)
    run(source, tmp_path / "cycle1")
    before = corpora.tree(tmp_path / "cycle1")
    with pytest.raises(InputError, match=r"never changed in place.*cycle2"):
        run(source, tmp_path / "cycle1")
    assert corpora.tree(tmp_path / "cycle1") == before
    with pytest.raises(InputError, match="inside the source"):
        run(tmp_path / "source", tmp_path / "source" / "cycle1")
    with pytest.raises(InputError, match="is named cycle1"):
        run(source, tmp_path / "first")


def test_an_empty_folder_takes_an_import(tmp_path: Path) -> None:
    """What else is in it stays."""
    source = corpus(tmp_path / "source", 2)
    (tmp_path / "cycle1").mkdir()
    (tmp_path / "cycle1" / "notes.txt").write_text("mine")
    run(source, tmp_path / "cycle1")
    assert (tmp_path / "cycle1" / "notes.txt").read_text() == "mine"
    assert len(corpora.rows(tmp_path / "cycle1")) == 2
