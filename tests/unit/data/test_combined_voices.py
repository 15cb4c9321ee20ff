"""Voices that are called by the names of their files, in the imports of two months."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.data.combined_cycle import combine_cycles
from tasks.data.combined_voices import describe_alike, find_alike
from tasks.data.cycle_folder import open_cycle
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


def line(recording: str, sha256: str, member: str | None = None) -> dict[str, str | None]:
    """What an import writes down of a row."""
    return {"recording": recording, "member": member, "recording_sha256": sha256}


def test_names_of_files_are_told_where_recordings_are_others() -> None:
    """With a tier behind it or without; a name that people have is no file's."""
    may = [
        ("visit01_doctor", line("/may/visit01_doctor.wav", "a")),
        ("visit02_Nurse", line("/may/visit02.wav", "b")),
        ("visit03", line("/may.zip", "c", "visit03.wav")),
        ("Dr Smith", line("/may/visit04.wav", "d")),
    ]
    june = [(voice, line(str(found["recording"]), f"june {found['recording_sha256']}",
                         found["member"])) for voice, found in may]  # fmt: skip
    assert find_alike([may, june]) == ("visit01_doctor", "visit02_Nurse", "visit03")
    assert find_alike([may, [*june[1:], *may]]) == ()
    assert find_alike([may]) == find_alike([may, may]) == ()


def test_the_note_names_five() -> None:
    """One in the singular."""
    assert describe_alike(()) == []
    (one,) = describe_alike(["visit01"])
    assert one.startswith("1 voice has the name of a file")
    (many,) = describe_alike([f"visit{number}" for number in range(7)])
    assert "visit4, …. Each" in many


def test_combine_tells_them(tmp_path: Path) -> None:
    """And leaves them as they are."""
    cycles = []
    for number, place in enumerate(("cycle1", "new/cycle2")):
        cycle = tmp_path / place
        (cycle / "audio").mkdir(parents=True)
        factories.write_wav(cycle / "audio/1.wav", 1.0, seed=number)
        row = {"audio_filepath": "audio/1.wav", "text": "stop aspirin", "duration": 1.0}
        factories.write_rows(cycle / "manifest.jsonl", [{**row, "voice_id": "visit01"}])
        origin = {"audio_filepath": "audio/1.wav", **line("/in/visit01.wav", f"{number}")}
        factories.write_rows(cycle / "provenance.jsonl", [origin])
        cycles.append(open_cycle(cycle))
    summary = combine_cycles(cycles, tmp_path / "cycle2")
    assert summary.voices_alike == ("visit01",)
    assert describe_alike(["visit01"])[0] in summary.notes
    assert (tmp_path / "cycle2/manifest.jsonl").read_text().count('"visit01"') == 2
