"""Audio is what is in it: lengths and levels are not taken from a header or from one sample."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import asr_flywheel
from tasks.data import audio_checks, audio_probe
from tasks.data.audio_checks import AudioLimits
from tasks.data.audio_probe import AudioFacts
from tasks.data.findings import ManifestFinding, Severity
from tasks.data.manifest import Utterance, read_manifest
from tests.support import factories
from tests.support.cases import case

RATE = factories.RATE
LIMITS = AudioLimits(RATE, min_duration=0.1, max_duration=20.0)


def speech(seconds: float = 3.0, *, level: float = 0.1, seed: int = 0) -> Any:
    """Syllables of noise between pauses: sound with the ups and downs of speech."""
    noise = np.random.default_rng(seed).normal(0, 1, round(seconds * RATE))
    time = np.arange(len(noise)) / RATE
    return noise * level * np.clip(np.sin(2 * np.pi * 2 * time), 0.001, 1)


def write(path: Path, wave: Any, kind: str = "WAV") -> Path:
    """A recording of 16 bits; what is beyond full scale is clipped."""
    soundfile.write(path, np.clip(wave, -1, 32767 / 32768), RATE, subtype="PCM_16", format=kind)
    return path


def check(path: Path, text: str = "the plan is to add metoprolol today") -> list[ManifestFinding]:
    """The findings on a recording."""
    fact = audio_probe.probe(path)
    return list(audio_checks.check(Utterance(1, path.name, text), fact, LIMITS))


def codes(path: Path, text: str = "the plan is to add metoprolol today") -> list[str]:
    """What was found."""
    return [finding.code for finding in check(path, text)]


def with_size(path: Path, size: int) -> Path:
    """The same WAV, whose header states another size of its samples."""
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    return path


def facts(path: Path) -> AudioFacts:
    """The facts of a recording that can be read."""
    fact = audio_probe.probe(path)
    assert isinstance(fact, AudioFacts)
    return fact


# Headers: kaldi-asr/kaldi#1567, rs1729/RS#39, cjcliffe/CubicSDR#616, chaosparrot/parrot.py#69,
# fluent-ffmpeg/node-fluent-ffmpeg#864, kkroening/ffmpeg-python#118, NAudio#688.


def test_the_cases_wavs_of_pipes_are_read_whole() -> None:
    """Of sox, of arecord, and with one sample too many in the header."""
    folder = case("13-wav-header-sizes") / "cycle1"
    for row in read_manifest(folder / "manifest.jsonl"):
        path = folder / row.audio_filepath
        assert facts(path).frames == (path.stat().st_size - 44) // 2
        assert codes(path) == []


@pytest.mark.parametrize(
    "size",
    [0x7FFFF000, 0x7FFFEFFF, 0x7FFFEFFC, 0x80000000, 0xFFFFFFFF, 0xFFFFFFDB, 0x7FFFFFFF,
     0x7FFFFFDB, 0xFFFFF000],
)  # fmt: skip
def test_a_size_that_no_pipe_knows_promises_nothing(tmp_path: Path, size: int) -> None:
    """What each writer leaves in its place lies just below 2 or 4 GiB."""
    path = with_size(write(tmp_path / "a.wav", speech()), size)
    assert facts(path).frames == facts(path).header_frames == 3 * RATE
    assert codes(path) == []


@pytest.mark.parametrize("more", [1, 2, 36, 44])
def test_a_header_that_counts_itself_or_pads_is_not_a_cut_file(tmp_path: Path, more: int) -> None:
    """One sample, or the header's own bytes, are no loss."""
    path = with_size(write(tmp_path / "a.wav", speech()), 6 * RATE + more)
    assert codes(path) == []


def test_a_file_that_was_cut_is_still_found(tmp_path: Path) -> None:
    """A true header and half of the samples."""
    path = write(tmp_path / "a.wav", speech())
    path.write_bytes(path.read_bytes()[: 44 + 3 * RATE])
    assert codes(path) == ["audio-truncated"]


# remsky/Kokoro-FastAPI#94: the first piece's header before all pieces; jamulussoftware/jamulus#5.


@pytest.mark.parametrize(("size", "read"), [(0, 0.0), (2 * RATE, 1.0), (3 * RATE, 1.5)])
def test_samples_beyond_what_the_header_states_are_told(
    tmp_path: Path, size: int, read: float
) -> None:
    """Libsndfile and NeMo never read them; who makes the header true has them all."""
    path = with_size(write(tmp_path / "a.wav", speech()), size)
    (found,) = check(path)
    assert (found.code, found.severity) == ("audio-unread", Severity.ERROR)
    assert f"about {3 - read:.2f} s" in found.problem
    assert f"after the first {read:.2f} s" in found.problem
    assert "ffmpeg -ignore_length 1" in found.fix
    assert codes(with_size(path, 6 * RATE)) == []


def test_a_chunk_after_the_samples_is_no_audio(tmp_path: Path) -> None:
    """Tags stand there, and a few stray bytes are none either (DeaDBeeF-Player/deadbeef#1229)."""
    path = write(tmp_path / "a.wav", speech())
    data = path.read_bytes()
    for more in (b"LIST" + struct.pack("<I", 400) + b"x" * 400, b"\0\0\0\0"):
        path.write_bytes(data + more)
        assert codes(path) == []


@pytest.mark.parametrize(
    ("chunk", "told"),
    [
        (b"LIST" + struct.pack("<I", 500) + b"INFOabcd", "'LIST' states 500 bytes"),
        (b"LIST" + struct.pack("<I", 0x7FFFFFFF) + b"", "'LIST' states 2147483647 bytes"),
        (b"bext" + struct.pack("<I", 4) + b"abcdxxxx\xff\xff", "its chunk 'xxxx'"),
    ],
)
def test_a_chunk_with_a_wrong_size_is_named(tmp_path: Path, chunk: bytes, told: str) -> None:
    """The decoder says only that there are no samples."""
    path = write(tmp_path / "a.wav", speech())
    data = path.read_bytes()
    path.write_bytes(data[:36] + chunk + data[36:])
    (found,) = check(path)
    assert found.code == "audio-unreadable"
    assert told in found.problem


def variable_mp3(path: Path) -> Path:
    """A quiet tone, then noise: a low bit rate and then a high one."""
    time = np.arange(6 * RATE) / RATE
    noise = np.random.default_rng(0).uniform(-0.8, 0.8, len(time))
    wave = np.where(time > 3, noise, 0.05 * np.sin(2 * np.pi * 220 * time))
    soundfile.write(
        path, wave, RATE, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE"
    )
    return path


def test_an_mp3_without_a_frame_count_is_not_cut_in_silence(tmp_path: Path) -> None:
    """DSheirer/sdrtrunk#1377, rmcrackan/Libation#110: libsndfile reads a part of it."""
    path = variable_mp3(tmp_path / "a.mp3")
    assert facts(path).unread_frames == 0
    assert "audio-unread" not in codes(path)
    data = path.read_bytes()
    # The first frame holds the count, and no sound.
    path.write_bytes(data[data.index(data[:2], 4) :])
    fact = facts(path)
    assert fact.frames < 3 * RATE
    assert fact.frames + fact.unread_frames == pytest.approx(6 * RATE, rel=0.03)
    (found,) = check(path)
    assert found.code == "audio-unread"
    assert "ffmpeg -i IN.mp3" in found.fix


def test_a_flac_of_a_pipe_names_its_cause(tmp_path: Path) -> None:
    """Its header does not state a length, and NeMo cannot read it either."""
    path = write(tmp_path / "a.flac", speech(), "FLAC")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    (found,) = check(path)
    assert found.code == "audio-unreadable"
    assert "does not state the length" in found.problem


# Channels: m-bain/whisperX#750, moona3k/macparakeet#953, NVIDIA-NeMo/Speech#8728,
# AKVorrat/dearmep#174, akhmialeuski/advanced-audio-recorder#59.


def stereo(kind: str) -> Any:
    """Two channels of one kind."""
    left, right = speech(seed=1), speech(seed=2)
    return np.stack(
        {
            "cancel": (left, -left),
            "nearly cancel": (left, -0.9 * left),
            "left alone": (left, 0 * left),
            "right alone": (0 * left, right),
            "two speakers": (0.5 * left, np.roll(right, RATE // 4)),
            "the same": (left, left),
        }[kind],
        axis=1,
    )


@pytest.mark.parametrize(
    ("kind", "told", "channel"),
    [
        ("cancel", "cancel out", 1),
        ("nearly cancel", "cancel out", 1),
        ("left alone", "channel 2 is silent", 1),
        ("right alone", "channel 1 is silent", 2),
        ("two speakers", "its channels differ", 2),
        ("the same", "hold the same samples", 1),
    ],
)
def test_channels_are_told_apart_and_the_advice_picks_one(
    tmp_path: Path, kind: str, told: str, channel: int
) -> None:
    """Who takes the channel that it names has a recording without a finding."""
    both = stereo(kind)
    path = write(tmp_path / "a.wav", both)
    (found,) = check(path)
    assert (found.code, found.severity) == ("audio-channels", Severity.ERROR)
    assert told in found.problem
    assert f"channelmap={channel - 1}:mono " in found.fix
    assert codes(write(path, both[:, channel - 1])) == []


def test_the_cases_stereo_row_is_told_and_its_mix_is_an_error(tmp_path: Path) -> None:
    """The channels cancel out; what mixing leaves is noise of one bit at best."""
    folder = case("15-stereo-advice") / "cycle1"
    (row,) = read_manifest(folder / "manifest.jsonl")
    samples, rate = soundfile.read(folder / row.audio_filepath)
    (found,) = check(folder / row.audio_filepath, row.text)
    assert (found.code, found.severity) == ("audio-channels", Severity.ERROR)
    assert "cancel out" in found.problem
    assert "channelmap=0:mono " in found.fix
    noise = np.random.default_rng(0).integers(-1, 2, len(samples)) / 32768
    mixed = tmp_path / "mixed.wav"
    soundfile.write(mixed, samples.mean(axis=1) + noise, rate, subtype="PCM_16")
    assert codes(mixed, row.text) == ["audio-silent"]
    soundfile.write(mixed, samples[:, 0], rate, subtype="PCM_16")
    assert codes(mixed, "add it today") == []


# Levels: Frieve-A/effetune#34 (an offset), stenolabs/stenoai#271 (a few words in a long silence).

TIME = np.arange(3 * RATE) / RATE
NOISE = np.random.default_rng(5).normal(0, 1, 3 * RATE)
LEVELS: dict[str, tuple[Any, str, str]] = {
    "a muted microphone": (NOISE / 40000, "audio-silent", "-91 dB"),
    "a muted microphone and one click": (
        np.where(np.arange(3 * RATE) == RATE, 0.9, NOISE / 40000),
        "audio-silent",
        "dB",
    ),
    "a muted microphone with an offset": (0.2 + NOISE / 40000, "audio-silent", "-91 dB"),
    "hiss": (NOISE * 0.01, "audio-steady", "steady noise"),
    "loud hiss": (NOISE * 0.1, "audio-steady", "steady noise"),
    "hum": (0.02 * np.sin(2 * np.pi * 50 * TIME), "audio-steady", "a constant tone"),
    "a tone": (0.3 * np.sin(2 * np.pi * 1000 * TIME), "audio-steady", "a constant tone"),
    "clipping": (speech(level=3.0), "audio-clipped", "%"),
    "clipping at half scale": (np.clip(speech(level=1.0), -0.4, 0.4), "audio-clipped", "%"),
}


@pytest.mark.parametrize(("wave", "code", "value"), LEVELS.values(), ids=list(LEVELS))
def test_a_recording_that_is_no_speech_is_a_finding_with_its_figure(
    tmp_path: Path, wave: Any, code: str, value: str
) -> None:
    """One loud sample does not hide it."""
    (found,) = check(write(tmp_path / "a.wav", wave))
    assert found.code == code
    assert value in f"{found.value} {found.problem}"


@pytest.mark.parametrize(
    "wave",
    [
        speech(),
        speech(level=0.003),
        speech(level=0.3),
        speech() + 0.02 * NOISE,
        np.concatenate([speech(1.0), np.zeros(RATE), speech(1.0)]),
        speech() + 0.3,
        np.concatenate([np.zeros(4 * RATE), speech(1.5), np.zeros(13 * RATE)]),
    ],
    ids=["speech", "quiet", "loud", "in noise", "with a pause", "with an offset", "a late word"],
)
def test_speech_has_no_finding(tmp_path: Path, wave: Any) -> None:
    """Quiet, loud, in noise, with a pause."""
    assert codes(write(tmp_path / "a.wav", wave)) == []


def test_speech_that_stops_early_is_told_by_characters_a_second(tmp_path: Path) -> None:
    """The silence after it does not count as speech; with the right text there is no finding."""
    path = write(tmp_path / "a.wav", np.concatenate([speech(1.5), np.zeros(4 * RATE)]))
    text = "the patient was seen today and will start on metoprolol twenty five milligrams daily"
    (found,) = check(path, text)
    assert (found.code, found.severity) == ("audio-stops-early", Severity.WARNING)
    assert "characters a second" in found.value
    assert codes(path, "start metoprolol today") == []


def test_the_embedded_speech_has_no_finding() -> None:
    """A real synthetic voice, the sentence of which is in the model's card."""
    path = Path(asr_flywheel.__file__).parent / "embedded" / "speech.wav"
    seconds = facts(path).duration
    assert codes(path, "a" * round(14 * seconds)) == []
