"""An import as a whole: conversion, channels, spans, faults, and what is left after a kill."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.audio_probe import AudioFacts, probe
from tasks.data.importers import audio_conversion, row_conversion
from tasks.data.importers.import_settings import ChannelRule
from tasks.data.preflight import preflight
from tests.support import corpora
from tests.support.corpora import corpus, manifest, one, run, samples, speech, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_16"), ("a.flac", "PCM_16"), ("a.wav", "FLOAT"), ("a.flac", "PCM_24")],
)
def test_no_sample_of_16_bits_at_16_khz_changes(tmp_path: Path, name: str, subtype: str) -> None:
    """Nor where wider samples hold 16 bits; the hash is that of preflight and split."""
    voice = speech(1)
    source = write(tmp_path / "source" / name, voice.astype(np.int16), subtype="PCM_16")
    if subtype != "PCM_16":
        write(source, voice / 32768, subtype=subtype)
    run(one(source.parent, name), tmp_path / "cycle1")
    assert np.array_equal(samples(tmp_path / "cycle1", 0), voice)
    (origin,) = corpora.provenance(tmp_path / "cycle1")
    assert (origin["change"], origin["dithered"]) == ("none", False)
    fact = probe(source)
    assert isinstance(fact, AudioFacts)
    assert origin["samples_sha256"] == fact.sha256
    assert origin["recording_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert origin["recording"] == str(source)


def test_dither_is_seeded_and_small(tmp_path: Path) -> None:
    """Where depth falls; the same seed gives the same samples, another seed others."""
    voice = np.random.default_rng(1).uniform(-0.3, 0.3, 16000)
    write(tmp_path / "source" / "a.wav", voice, subtype="FLOAT")
    made = []
    for number, seed in enumerate((1, 1, 2), start=1):
        cycle = tmp_path / f"cycle{number}"
        run(one(tmp_path / "source", "a.wav"), cycle, seed=seed, check=False)
        made.append(samples(cycle, 0))
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    error = made[0] - voice * 32768
    assert np.abs(error).max() <= 1.5
    # Triangular dither and rounding: 1/6 + 1/12 of a step squared.
    assert float((error**2).mean()) == pytest.approx(0.25, rel=0.1)
    (origin,) = corpora.provenance(tmp_path / "cycle1")
    assert (origin["change"], origin["dithered"]) == ("depth", True)


@pytest.mark.parametrize(("rate", "dithered"), [(8000, False), (48000, True), (44100, True)])
def test_another_rate_is_resampled(tmp_path: Path, rate: int, *, dithered: bool) -> None:
    """To the sound that an independent resampler gives; 8 kHz is marked as narrow."""
    moments = np.arange(2 * rate) / rate
    tones = sum(np.sin(2 * np.pi * tone * moments) for tone in (210, 900, 3100)) / 8
    tones *= np.clip(np.abs(np.sin(moments * 12)), 0.01, 1)
    voice = np.rint(tones * 32767).astype(np.int16)
    write(tmp_path / "source" / "a.wav", voice, rate)
    run(one(tmp_path / "source", "a.wav"), tmp_path / "cycle1")
    found = samples(tmp_path / "cycle1", 0).astype(float)
    up, down = 16000 // np.gcd(16000, rate), rate // np.gcd(16000, rate)
    expected = resample_poly(voice.astype(float), up, down)[: len(found)]
    assert len(found) == 32000
    middle = slice(800, -800)
    error = found[middle] - expected[middle]
    assert np.sqrt((error**2).mean()) < 0.02 * np.sqrt((expected**2).mean())
    (row,) = corpora.rows(tmp_path / "cycle1")
    (origin,) = corpora.provenance(tmp_path / "cycle1")
    assert row.get("bandwidth") == ("narrow" if rate == 8000 else None)
    assert (origin["change"], origin["dithered"]) == ("rate", dithered)


def test_a_part_is_cut_to_the_sample(tmp_path: Path) -> None:
    """By offset and duration, the last one to the recording's end where it is rounded beyond."""
    voice = speech(5)
    write(tmp_path / "source" / "long.flac", voice)
    parts = [(0, 1.5), (1.5, 2.0625), (3.5625, 1.45)]
    source = manifest(
        tmp_path / "source",
        *(
            {"audio_filepath": "long.flac", "text": f"row {start}", "offset": start, "duration": s}
            for start, s in parts
        ),
    )
    run(source, tmp_path / "cycle1")
    for number, (start, seconds) in enumerate(parts):
        first = round(start * 16000)
        expected = voice[first : first + round(seconds * 16000)]
        assert np.array_equal(samples(tmp_path / "cycle1", number), expected)


def test_parts_of_a_lossy_recording_are_parts_of_its_whole_decoding(tmp_path: Path) -> None:
    """A seek in an MP3 is not exact."""
    write(tmp_path / "source" / "long.mp3", speech(8) / 32768, subtype="MPEG_LAYER_III")
    whole, _ = soundfile.read(tmp_path / "source" / "long.mp3", dtype="float32")
    source = one(tmp_path / "source", "long.mp3", offset=5.25, duration=1.0)
    run(source, tmp_path / "cycle1")
    expected = np.rint(whole[84000:100000] * 32768)
    assert np.abs(samples(tmp_path / "cycle1", 0) - expected).max() == 0


def stereo(folder: Path, *, same: bool = False) -> Path:
    """Two voices, the second louder."""
    first, second = speech(1, seed=1) // 4, speech(1, seed=2)
    both = np.stack([first, first if same else second], axis=1)
    return write(folder / "a.wav", both)


@pytest.mark.parametrize(
    ("rule", "channel"),
    [
        (ChannelRule(channel=0), 0),
        (ChannelRule(channel=1), 1),
        (ChannelRule(louder=True), 1),
        (ChannelRule(channel=1, by_voice={"doctor": 0}), 0),
    ],
)
def test_a_channel_is_taken_by_the_rule(tmp_path: Path, rule: ChannelRule, channel: int) -> None:
    """Sample by sample, and the provenance says which."""
    both, _ = soundfile.read(stereo(tmp_path / "source"), dtype="int16")
    run(one(tmp_path / "source", "a.wav", voice_id="doctor"), tmp_path / "cycle1", channels=rule)
    assert np.array_equal(samples(tmp_path / "cycle1", 0), both[:, channel])
    assert corpora.provenance(tmp_path / "cycle1")[0]["channel"] == channel + 1


def test_channels_are_never_mixed(tmp_path: Path) -> None:
    """Without a rule the row is refused; channels of the same samples are one."""
    stereo(tmp_path / "source")
    with pytest.raises(InputError, match=r"manifest.jsonl:1: .*2 channels.*--channel 1"):
        run(one(tmp_path / "source", "a.wav"), tmp_path / "cycle1")
    both, _ = soundfile.read(stereo(tmp_path / "source", same=True), dtype="int16")
    run(one(tmp_path / "source", "a.wav"), tmp_path / "cycle1")
    assert np.array_equal(samples(tmp_path / "cycle1", 0), both[:, 0])


def test_the_cycle_passes_preflight_and_the_source_stays(tmp_path: Path) -> None:
    """Fields are kept, of clinical and of other names."""
    source = corpus(tmp_path / "source")
    before = corpora.tree(tmp_path / "source")
    summary = run(source, tmp_path / "cycle1")
    assert corpora.tree(tmp_path / "source") == before
    result = preflight(tmp_path / "cycle1" / "manifest.jsonl", AudioLimits(16000), None)
    result.raise_errors()
    assert (len(result.rows), summary.rows) == (6, 6)
    assert corpora.rows(tmp_path / "cycle1")[3] == {
        "audio_filepath": "audio/000/000004.flac",
        "text": "take aspirin number 3",
        "duration": 0.6,
        "term": "aspirin",
        "entity_category": "drug",
        "ward": "icu",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cycle1", "source"]


def test_a_stopped_import_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in the cycle's folder before; in the end all is as without a stop."""
    source = corpus(tmp_path / "source")
    run(source, tmp_path / "cycle2")
    converted: list[str] = []
    convert = audio_conversion.convert

    def stopped(*arguments: Any) -> Any:
        if len(converted) == 3:
            raise KeyboardInterrupt
        converted.append(arguments[-1].name)
        return convert(*arguments)

    monkeypatch.setattr(row_conversion, "convert", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "cycle1")
    assert not (tmp_path / "cycle1").exists()
    journal = tmp_path / ".cycle1.importing" / "journal.jsonl"
    with journal.open("a") as out:
        out.write('{"number": 4, "key"')  # a kill in the middle of a line
    monkeypatch.undo()
    summary = run(source, tmp_path / "cycle1")
    assert summary.resumed == 3
    contents = {
        name: (tmp_path / name / "manifest.jsonl").read_bytes() for name in ("cycle1", "cycle2")
    }
    assert contents["cycle1"] == contents["cycle2"]
    first, second = (
        {path: found[0] for path, found in corpora.tree(tmp_path / name / "audio").items()}
        for name in ("cycle1", "cycle2")
    )
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cycle1", "cycle2", "source"]


def test_a_changed_recording_is_converted_again(tmp_path: Path) -> None:
    """Only its row is, where the rest was done before the stop."""
    source = corpus(tmp_path / "source", 4)
    (tmp_path / "source" / "2.wav").write_bytes(b"no sound at all")
    with pytest.raises(InputError, match=r"manifest.jsonl:3: .*2\.wav.*ffmpeg"):
        run(source, tmp_path / "cycle1")
    write(tmp_path / "source" / "2.wav", speech(0.7, seed=9))
    assert run(source, tmp_path / "cycle1").resumed == 3
    assert np.array_equal(samples(tmp_path / "cycle1", 2), speech(0.7, seed=9))


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"audio_filepath": "b.wav", "text": "a"}, "there is no recording"),
    "no text": ({"audio_filepath": "a.wav", "text": " "}, "text is empty"),
    "behind its end": (
        {"audio_filepath": "a.wav", "text": "a", "offset": 0.5, "duration": 2},
        "not in the recording, which has 1.000 s",
    ),
    "another length": ({"audio_filepath": "a.wav", "text": "a", "duration": 3}, "states 3 s"),
    "term": ({"audio_filepath": "a.wav", "text": "a", "term": "b"}, "does not stand in"),
    "category": (
        {"audio_filepath": "a.wav", "text": "a", "term": "a", "entity_category": "medication"},
        "drug",
    ),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_broken_row_is_refused_with_file_line_and_fix(tmp_path: Path, kind: str) -> None:
    """And nothing is in the cycle's folder; leaving it out keeps the rest and lists it."""
    row, message = BROKEN[kind]
    write(tmp_path / "source" / "a.wav", speech(1))
    write(tmp_path / "source" / "good.wav", speech(1, seed=5))
    good = {"audio_filepath": "good.wav", "text": "good"}
    source = manifest(tmp_path / "source", good, row)
    with pytest.raises(InputError) as refused:
        run(source, tmp_path / "cycle1")
    assert f"{source}:2: " in str(refused.value)
    assert message in str(refused.value)
    assert "Fix: " in str(refused.value)
    assert not (tmp_path / "cycle1").exists()
    assert run(source, tmp_path / "cycle1", leave_out=True).left_out == 1
    assert [found["text"] for found in corpora.rows(tmp_path / "cycle1")] == ["good"]
    listed = (tmp_path / "cycle1" / "import_left_out.jsonl").read_text()
    assert json.loads(listed)["place"] == f"{source}:2"
    assert len(list((tmp_path / "cycle1" / "audio").rglob("*.flac"))) == 1


def test_all_faults_of_all_rows_are_told_before_anything_is_converted(tmp_path: Path) -> None:
    """Parts behind the end or backwards, other lengths, cut files, terms: one round."""
    write(tmp_path / "source" / "a.wav", speech(1))
    cut = write(tmp_path / "source" / "cut.wav", speech(1, seed=2))
    cut.write_bytes(cut.read_bytes()[:20000])
    write(tmp_path / "source" / "tiny.wav", speech(1)[:5])
    part = {"audio_filepath": "a.wav", "text": "a"}
    source = manifest(
        tmp_path / "source",
        {**part, "offset": 0.2, "duration": 0.5},
        {**part, "offset": 0.5, "duration": 2},
        {**part, "offset": 0.5, "duration": -0.25, "term": "b"},
        {**part, "duration": 3},
        {**part, "audio_filepath": "cut.wav", "duration": 1},
        {**part, "audio_filepath": "none.wav", "term": "c"},
        {**part, "audio_filepath": "tiny.wav", "offset": 0, "duration": 0.0003},
    )
    with pytest.raises(InputError) as refused:
        run(source, tmp_path / "cycle1")
    told = str(refused.value)
    assert "6 rows cannot be imported" in told
    assert not (tmp_path / ".cycle1.importing").exists()
    for line, fault in [
        (2, "is not in the recording, which has 1.000 s"),
        (3, "the part from 0.5 s to 0.25 s ends before it begins"),
        (3, "the term does not stand in"),
        (4, "the source states 3 s"),
        (5, "is cut off"),
        (6, "there is no recording"),
        (6, "the term does not stand in"),
        (7, "it holds 5 samples"),
    ]:
        assert any(f"manifest.jsonl:{line}: " in one and fault in one for one in told.splitlines())
    assert run(source, tmp_path / "cycle1", leave_out=True).left_out == 6


def test_a_recording_of_five_samples_is_to_be_recorded_again(tmp_path: Path) -> None:
    """Its length is no matter of a duration that the source leaves open."""
    write(tmp_path / "source" / "tiny.wav", speech(1)[:5])
    with pytest.raises(InputError) as refused:
        run(one(tmp_path / "source", "tiny.wav", duration=None), tmp_path / "cycle1")
    assert "it holds 5 samples" in str(refused.value)
    assert "Fix: record or copy it again" in str(refused.value)
    assert "write null" not in str(refused.value)
    checked = preflight(tmp_path / "source" / "manifest.jsonl", AudioLimits(16000), None)
    assert [(found.code, found.fix) for found in checked.findings] == [
        ("audio-empty", "record or copy it again")
    ]


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.mp3", "MPEG_LAYER_III"), ("a.ogg", "VORBIS"), ("a.wav", "ULAW")]
)
def test_a_part_at_the_end_of_a_lossy_recording_is_taken(
    tmp_path: Path, name: str, subtype: str
) -> None:
    """Its header may say a little less or more than is decoded; far behind the end is refused."""
    write(tmp_path / "source" / name, speech(8) / 32768, subtype=subtype)
    source = one(tmp_path / "source", name, offset=6.0, duration=1.99)
    assert run(source, tmp_path / "cycle1").rows == 1
    source = one(tmp_path / "source", name, offset=6.0, duration=30)
    with pytest.raises(InputError, match="not in the recording"):
        run(source, tmp_path / "cycle2")
