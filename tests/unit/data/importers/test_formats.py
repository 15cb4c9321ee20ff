"""Formats whose libraries need no torch: files that their own tools write are imported."""

from __future__ import annotations

import json
import sys
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import webvtt
from praatio import textgrid
from praatio.utilities.constants import Interval
from pympi import Elan

from tasks.common.errors import InputError
from tasks.data import transcript_tags
from tasks.data.importers import formats
from tasks.data.importers.import_settings import ChannelRule
from tasks.data.importers.source_rows import ReadOptions
from tasks.data.transcript_tags import TagChoice
from tests.support import corpora, factories
from tests.support.corpora import run, samples, speech, write
from tests.support.spoken_sources import SPANS, TEXTS, check, consultation, voices

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.corpora import Samples


def test_a_tarred_set_of_nemo(tmp_path: Path) -> None:
    """Its manifest names members of audio_<shard>.tar."""
    source = tmp_path / "source"
    made = voices(tmp_path / "loose", "flac")
    source.mkdir()
    rows = []
    for number in range(3):
        shard = number % 2
        with tarfile.open(source / f"audio_{shard}.tar", "a") as archive:
            archive.add(tmp_path / "loose" / f"{number}.flac", f"{number}.flac")
        row = {"audio_filepath": f"{number}.flac", "text": TEXTS[number], "duration": None}
        rows.append({**row, "shard_id": shard})
    factories.write_rows(source / "tarred_audio_manifest.json", rows)
    assert run(source, tmp_path / "cycle1").format == "nemo"
    check(tmp_path / "cycle1", made)
    assert corpora.provenance(tmp_path / "cycle1")[1]["member"] == "1.flac"


def test_a_lacking_member_is_named(tmp_path: Path) -> None:
    """With the manifest's line."""
    voices(tmp_path / "loose")
    (tmp_path / "source").mkdir()
    with tarfile.open(tmp_path / "source" / "audio_0.tar", "w") as archive:
        archive.add(tmp_path / "loose" / "0.wav", "0.wav")
    row = {"audio_filepath": "1.wav", "text": "a", "duration": 1, "shard_id": 0}
    source = factories.write_rows(tmp_path / "source" / "manifest.json", [row])
    with pytest.raises(InputError, match=r"manifest.json:1: .*no such member"):
        run(source, tmp_path / "cycle1")


def test_a_common_voice_table(tmp_path: Path) -> None:
    """As a release has it: MP3 in clips/, quotes that quote nothing."""
    clips = tmp_path / "cv" / "clips"
    for number in range(2):
        write(clips / f"c{number}.mp3", speech(1, seed=number) / 32768, 48000, "MPEG_LAYER_III")
    lines = ["client_id\tpath\tsentence\tup_votes", 'k1\tc0.mp3\t"Yes", he said.\t2']
    lines.append("k2\tc1.mp3\tNo.\t2")
    (tmp_path / "cv" / "validated.tsv").write_text("\n".join(lines) + "\n")
    assert run(tmp_path / "cv", tmp_path / "cycle1").format == "common-voice"
    check(tmp_path / "cycle1", [], ('"Yes", he said.', "No."))
    assert [row["voice_id"] for row in corpora.rows(tmp_path / "cycle1")] == ["k1", "k2"]
    assert len(samples(tmp_path / "cycle1", 0)) == pytest.approx(16000 / 3, abs=500)


def test_a_textgrid_by_praatio(tmp_path: Path) -> None:
    """A tier is a voice; empty intervals are silence."""
    made = consultation(tmp_path / "source")
    entries = [Interval(*span, text) for span, text in zip(SPANS, TEXTS, strict=True)]
    grid = textgrid.Textgrid()
    grid.addTier(textgrid.IntervalTier("doctor", entries, 0, 5.5))
    grid.save(str(tmp_path / "source" / "visit.TextGrid"), "long_textgrid", True)
    assert run(tmp_path / "source", tmp_path / "cycle1").format == "textgrid"
    check(tmp_path / "cycle1", made)
    assert corpora.rows(tmp_path / "cycle1")[2]["voice_id"] == "doctor"


def mock_consultations(source: Path) -> dict[str, list[Samples]]:
    """Two consultations in the shape of PriMock57, and the samples of each voice's labels.

    Recordings and TextGrids lie in two folders, one file of each for doctor and patient.
    """
    made: dict[str, list[Samples]] = {}
    (source / "transcripts").mkdir(parents=True)
    (source / "notes").mkdir()
    texts = {
        "doctor": ("Good morning. How can I help?", "<UNIN/> any <UNSURE>fever</UNSURE> at all?"),
        "patient": ("I have had a cough for <UNSURE>three</UNSURE> days.", "No. <UNIN/>"),
    }
    for number in (1, 2):
        (source / f"notes/day1_consultation0{number}.json").write_text('{"note": "cough"}')
        for place, (role, said) in enumerate(texts.items()):
            name = f"day1_consultation0{number}_{role}"
            whole = speech(4.0, seed=10 * number + place)
            write(source / f"audio/{name}.wav", whole)
            spans = ((0.5 + place, 1.25 + place), (2.5, 3.75))
            entries = [Interval(*span, text) for span, text in zip(spans, said, strict=True)]
            grid = textgrid.Textgrid()
            grid.addTier(textgrid.IntervalTier(role.title(), entries, 0, 4.0))
            grid.save(str(source / f"transcripts/{name}.TextGrid"), "long_textgrid", True)
            made[name] = [whole[round(a * 16000) : round(b * 16000)] for a, b in spans]
    return made


def test_consultations_with_a_file_for_each_speaker(tmp_path: Path) -> None:
    """Each file is a voice, doctor and patient share a conversation; unintelligible rows go."""
    made = mock_consultations(tmp_path / "source")
    notes: list[str] = []
    noted = ReadOptions(note=notes.append)
    run(tmp_path / "source", tmp_path / "cycle1", reading=noted, format="textgrid")
    assert any(note.startswith("tiers: Doctor, Patient stand in several files") for note in notes)
    reading = ReadOptions(voice_of_file=True)
    run(tmp_path / "source", tmp_path / "cycle2", reading=reading, format="textgrid")
    rows = corpora.rows(tmp_path / "cycle2")
    assert [row["voice_id"] for row in rows[::2]] == sorted(made)
    assert {row["conversation_id"] for row in rows[:4]} == {"day1_consultation01"}
    expected = [voice for name in sorted(made) for voice in made[name]]
    for place, voice in enumerate(expected):
        assert np.array_equal(samples(tmp_path / "cycle2", place), voice), place
    manifest = tmp_path / "cycle2/manifest.jsonl"
    heard, clean = tmp_path / "cycle2/heard.jsonl", tmp_path / "cycle2/clean.jsonl"
    only = frozenset({"<unin/>"})
    assert transcript_tags.rewrite(manifest, heard, TagChoice.ROW, only) == (4, 4)
    assert transcript_tags.rewrite(heard, clean, TagChoice.TAG) == (2, 4)
    texts = [json.loads(line)["text"] for line in clean.read_text().splitlines()]
    said = ["Good morning. How can I help?", "I have had a cough for three days."]
    assert texts == 2 * said


def test_a_recording_that_is_nowhere_or_twice_is_named(tmp_path: Path) -> None:
    """Two of one name below the source would be a guess."""
    mock_consultations(tmp_path / "source")
    name = "day1_consultation01_doctor.wav"
    write(tmp_path / "source/older" / name, speech(4.0, seed=1))
    with pytest.raises(InputError, match=r"day1_consultation01_doctor has several recordings"):
        run(tmp_path / "source", tmp_path / "cycle1", format="textgrid")
    for folder in ("older", "audio"):
        (tmp_path / "source" / folder / name).unlink()
    gone = r"no recording day1_consultation01_doctor\.wav .* Fix: put"
    with pytest.raises(InputError, match=gone):
        run(tmp_path / "source", tmp_path / "cycle1", format="textgrid")


def test_elan_by_pympi(tmp_path: Path) -> None:
    """A tier's participant is its voice; the linked recording is found beside the EAF."""
    made = consultation(tmp_path / "source", "other.wav")
    elan = Elan.Eaf(author="a")
    elan.remove_tier("default")
    elan.add_tier("A", part="doctor")
    for (start, end), text in zip(SPANS, TEXTS, strict=True):
        elan.add_annotation("A", round(start * 1000), round(end * 1000), text)
    elan.add_linked_file("file:///C:/old/other.wav", mimetype="audio/x-wav")
    elan.to_file(str(tmp_path / "source" / "visit.eaf"))
    assert run(tmp_path / "source" / "visit.eaf", tmp_path / "cycle1").format == "eaf"
    check(tmp_path / "cycle1", made)
    assert corpora.rows(tmp_path / "cycle1")[0]["voice_id"] == "doctor"


@pytest.mark.parametrize("ending", ["vtt", "srt"])
def test_subtitles_by_webvtt(tmp_path: Path, ending: str) -> None:
    """Captions are rows."""
    made = consultation(tmp_path / "source")
    captions = webvtt.WebVTT()
    for (start, end), text in zip(SPANS, TEXTS, strict=True):
        captions.captions.append(webvtt.Caption(f"00:00:{start:06.3f}", f"00:00:{end:06.3f}", text))
    path = str(tmp_path / "source" / f"visit.{ending}")
    captions.save(path) if ending == "vtt" else captions.save_as_srt(path)
    assert run(tmp_path / "source", tmp_path / "cycle1").format == "subtitles"
    check(tmp_path / "cycle1", made)


def test_an_stm_names_channels(tmp_path: Path) -> None:
    """A and B are the first and the second; what scoring ignores is left out."""
    left, right = speech(4, seed=1), speech(4, seed=2)
    write(tmp_path / "source" / "call.wav", np.stack([left, right], axis=1))
    (tmp_path / "source" / "call.stm").write_text(
        ";; comment\ncall A ann 0.5 1.5 <o,f0,female> take aspirin now\n"
        "call B bob 1.5 2.5 hold the metformin, please\n"
        "call A ann 2.5 3 IGNORE_TIME_SEGMENT_IN_SCORING\n"
    )
    run(tmp_path / "source", tmp_path / "cycle1")
    check(tmp_path / "cycle1", [left[8000:24000], right[24000:40000]], TEXTS[:2])


def test_a_ctm_is_cut_at_its_pauses(tmp_path: Path) -> None:
    """Half a second without a word ends a row; no word is cut."""
    whole = speech(5)
    write(tmp_path / "source" / "a.wav", whole)
    words = [(0.5, 0.4, "take"), (1.0, 0.5, "aspirin"), (2.5, 0.5, "hold"), (3.1, 0.4, "it")]
    lines = "".join(f"a 1 {start} {seconds} {word}\n" for start, seconds, word in words)
    (tmp_path / "source" / "a.ctm").write_text(lines)
    run(tmp_path / "source", tmp_path / "cycle1")
    check(tmp_path / "cycle1", [whole[4000:28000], whole[36000:56000]], ("take aspirin", "hold it"))


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [("a.TextGrid", "praatio", "praatio"), ("a.eaf", "pympi", "pympi-ling")],
)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, package: str
) -> None:
    """With the line of pip that brings it."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / name).write_text("")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"{package}, .*pip install .*\[import\]"):
        run(tmp_path / "source", tmp_path / "cycle1")


def test_an_unknown_source_names_the_formats(tmp_path: Path) -> None:
    """And a format of another name is refused."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.json").write_text(json.dumps({"a": 1}))
    with pytest.raises(InputError, match=r"--format: kaldi"):
        run(tmp_path / "source", tmp_path / "cycle1")
    with pytest.raises(InputError, match="there is no such format"):
        formats.choose(tmp_path, "espnet")


def test_the_source_channel_goes_before_the_rule(tmp_path: Path) -> None:
    """A table's channel is counted from 1."""
    left, right = speech(1, seed=1), speech(1, seed=2)
    write(tmp_path / "source" / "a.wav", np.stack([left, right], axis=1))
    (tmp_path / "source" / "t.csv").write_text("audio,text,channel\na.wav,a,2\n")
    run(tmp_path / "source" / "t.csv", tmp_path / "cycle1", channels=ChannelRule(channel=0))
    check(tmp_path / "cycle1", [right], ("a",))


def test_texts_beside_recordings(tmp_path: Path) -> None:
    """A text is the transcript of the recording of its name, whatever its lines; BOM and all."""
    expected = voices(tmp_path / "source")
    for number, text in enumerate(TEXTS):
        path = tmp_path / "source" / f"{number}.txt"
        path.write_text(text.replace(" ", "\n\n", 1), encoding="utf-8-sig")
    assert run(tmp_path / "source", tmp_path / "cycle1").format == "text"
    check(tmp_path / "cycle1", expected)
    (tmp_path / "source" / "notes.txt").write_text("no recording has this name")
    with pytest.raises(InputError, match=r"notes\.txt: there is no recording notes\.wav"):
        run(tmp_path / "source", tmp_path / "cycle2")
    (tmp_path / "source" / "notes.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"notes\.txt:1: byte 0xe9 is not UTF-8"):
        run(tmp_path / "source", tmp_path / "cycle2")
    assert not (tmp_path / "cycle2").exists()
