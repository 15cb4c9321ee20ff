"""The commands that findings on recordings name, run as they stand: what they leave has no finding.

The kinds of files are those of m-bain/whisperX#750 and moona3k/macparakeet#953 (channels),
kkroening/ffmpeg-python#118 and NAudio#688 (headers of pipes), DSheirer/sdrtrunk#1377 and
rmcrackan/Libation#110 (MP3 without a frame count), and NVIDIA-NeMo/Speech#8728 (rates).
"""

from __future__ import annotations

import re
import shlex
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from tasks.data import audio_checks, audio_probe
from tasks.data.audio_checks import AudioLimits
from tasks.data.manifest import Utterance
from tests.support import audio_cases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.data.findings import ManifestFinding

pytestmark = pytest.mark.needs("ffmpeg")
LIMITS = AudioLimits(16000, min_duration=0.1, max_duration=20.0)
SECONDS = 4


def voice(rate: int, seed: int = 1) -> Any:
    """Syllables of low noise between pauses, which another rate does not change."""
    time = np.arange(SECONDS * rate) / rate
    tones = np.random.default_rng(seed).uniform(150, 1500, 12)
    sound = sum(np.sin(2 * np.pi * tone * time + tone) for tone in tones) / 30
    return sound * np.clip(np.sin(2 * np.pi * 1.5 * time + seed), 0.001, 1)


def check(path: Path) -> list[ManifestFinding]:
    """The findings on a recording."""
    utterance = Utterance(1, path.name, "the plan is to add metoprolol")
    return list(audio_checks.check(utterance, audio_probe.probe(path), LIMITS))


def with_size(path: Path, size: int) -> None:
    """Write a wrong size of the samples into a WAV's header."""
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(data)


def written(kind: str, rate: int, *channels: Any, **options: Any) -> Callable[[Path], Path]:
    """A recording of these channels; each is a function of the rate or 0."""

    def write(folder: Path) -> Path:
        path = folder / f"in.{kind}"
        sounds = [np.zeros(SECONDS * rate) if sound is None else sound(rate) for sound in channels]
        soundfile.write(path, np.stack(sounds, axis=1), rate, **options)
        return path

    return write


def upside_down(rate: int) -> Any:
    """The voice in the opposite phase."""
    return -voice(rate)


def other_voice(rate: int) -> Any:
    """A second, quieter speaker."""
    return 0.4 * voice(rate, seed=2)


def short_header(folder: Path) -> Path:
    """The header of the first piece before all pieces."""
    path = written("wav", 16000, voice)(folder)
    with_size(path, 2 * 16000)
    return path


def short_header_of_two(folder: Path) -> Path:
    """The same with two channels that cancel out."""
    path = written("wav", 16000, voice, upside_down)(folder)
    with_size(path, 4 * 16000)
    return path


def without_frame_count(*channels: Any) -> Callable[[Path], Path]:
    """A VBR MP3 of quiet and then loud sound, whose first frame is gone."""

    def write(folder: Path) -> Path:
        options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE"}
        path = written("mp3", 16000, *channels, **options)(folder)
        data = path.read_bytes()
        path.write_bytes(data[data.index(data[:2], 4) :])
        return path

    return write


def flac_of_a_pipe(folder: Path) -> Path:
    """Its header does not state a length."""
    path = written("flac", 16000, voice)(folder)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    return path


def wave64_of_floats(folder: Path) -> Path:
    """Libsndfile reads its floats as integers."""
    path = folder / "in.w64"
    audio_cases.write_extended_wave64(path, voice(16000).astype(np.float32))
    return path


def late_noise(rate: int) -> Any:
    """The voice, low at first, so that a bit rate changes."""
    half = SECONDS * rate // 2
    sound = voice(rate)
    sound[:half] *= 0.05
    return sound + np.where(np.arange(len(sound)) > half, other_voice(rate) * 0.1, 0)


def late_noise_upside_down(rate: int) -> Any:
    """The same in the opposite phase."""
    return -late_noise(rate)


RECORDINGS: dict[str, tuple[Callable[[Path], Path], Callable[[int], Any]]] = {
    "a WAV of 44.1 kHz": (written("wav", 44100, voice), voice),
    "a FLAC of 8 kHz": (written("flac", 8000, voice), voice),
    "an MP3 of 44.1 kHz": (written("mp3", 44100, voice), voice),
    "an Opus of 48 kHz": (
        written("opus", 48000, voice, format="OGG", subtype="OPUS"),
        voice,
    ),
    "channels that cancel out": (written("wav", 16000, voice, upside_down), voice),
    "the second channel alone": (written("wav", 16000, None, voice), voice),
    "two speakers at 48 kHz": (written("flac", 48000, other_voice, voice), voice),
    "two channels of an MP3": (written("mp3", 44100, other_voice, voice), voice),
    "a short header": (short_header, voice),
    "a short header of two channels": (short_header_of_two, voice),
    "a FLAC of a pipe": (flac_of_a_pipe, voice),
    "a Wave64 of floats": (wave64_of_floats, voice),
    "an MP3 without a frame count": (without_frame_count(late_noise), late_noise),
    "such an MP3 of two channels": (
        without_frame_count(late_noise, late_noise_upside_down),
        late_noise,
    ),
}


@pytest.mark.parametrize(("record", "said"), RECORDINGS.values(), ids=list(RECORDINGS))
def test_who_runs_the_command_has_all_of_the_sound_and_no_finding(
    tmp_path: Path, record: Callable[[Path], Path], said: Callable[[int], Any]
) -> None:
    """One command for all findings of a recording, and its samples are those of the voice."""
    source = record(tmp_path)
    found = check(source)
    assert found
    commands = {match[0] for one in found if (match := re.search(r"ffmpeg .*", one.fix))}
    assert len(commands) == 1, [one.fix for one in found]
    line = [
        str({"IN": source, "OUT": tmp_path / "out"}.get(word.partition(".")[0], word))
        + (".wav" if word == "OUT.wav" else "")
        for word in shlex.split(commands.pop())
    ]
    subprocess.run([line[0], "-v", "error", *line[1:]], check=True)
    assert check(tmp_path / "out.wav") == []
    samples, rate = soundfile.read(tmp_path / "out.wav")
    wanted = said(16000)
    assert rate == 16000
    assert len(samples) == pytest.approx(len(wanted), rel=0.05)
    # Coders and filters delay by some milliseconds.
    heard = np.fft.irfft(np.fft.rfft(samples, 2**18) * np.conj(np.fft.rfft(wanted, 2**18))).max()
    assert heard / np.linalg.norm(samples) / np.linalg.norm(wanted) > 0.97
