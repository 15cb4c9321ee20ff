"""Rows that were cut from one recording get its conversation, whatever the source's format is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support import corpora
from tests.support.corpora import speech, write
from tests.unit.data.importers.test_kaldi_folder import kaldi

if TYPE_CHECKING:
    from pathlib import Path


def conversations(cycle: Path) -> list[Any]:
    """What each row names."""
    return [row.get("conversation_id") for row in corpora.rows(cycle)]


def test_kaldi_segments_have_the_conversation_of_their_recording(tmp_path: Path) -> None:
    """A recording with one row has none, since nobody said what it is a part of."""
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.wav", speech(3.0, seed=ord(name)))
    segments = {"u1": "a 0 1", "u2": "b 0 1", "u3": "a 1 2", "u4": "c 0 1", "u5": "c 1.5 2.5"}
    source = kaldi(
        tmp_path / "data",
        wav_scp={name: str(tmp_path / f"{name}.wav") for name in ("a", "b", "c")},
        segments=segments,
        text={name: f"take dose {name}" for name in segments},
    )
    corpora.run(source, tmp_path / "cycle1")
    assert conversations(tmp_path / "cycle1") == [
        "recording 1",
        None,
        "recording 1",
        "recording 2",
        "recording 2",
    ]


def test_what_a_source_names_stays_and_is_shared(tmp_path: Path) -> None:
    """A row without one takes its siblings'; where these differ, and a number is free, its own."""
    for name in ("a", "b"):
        write(tmp_path / f"{name}.wav", speech(5.0, seed=ord(name)))
    lines = [
        "audio,text,start,end,conversation_id",
        "a.wav,one,0,1,recording 4",
        "a.wav,two,1,2,",
        "b.wav,three,0,1,visit 1",
        "b.wav,four,1,2,visit 2",
        "b.wav,five,2,3,",
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    corpora.run(tmp_path / "rows.csv", tmp_path / "cycle1")
    assert conversations(tmp_path / "cycle1") == [
        "recording 4",
        "recording 4",
        "visit 1",
        "visit 2",
        "recording 5",
    ]


def test_whole_recordings_name_no_conversation(tmp_path: Path) -> None:
    """Whether two files are one conversation is not known."""
    for name in ("a", "b"):
        write(tmp_path / f"{name}.wav", speech(1.0, seed=ord(name)))
    (tmp_path / "rows.csv").write_text("audio,text\na.wav,one\nb.wav,two\n", encoding="utf-8")
    corpora.run(tmp_path / "rows.csv", tmp_path / "cycle1")
    assert conversations(tmp_path / "cycle1") == [None, None]
