"""What a recording is to us: 16-bit samples, whatever kind of samples its file holds."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from tasks.data import audio_probe
from tasks.data.audio_checks import AudioLimits
from tasks.data.audio_probe import AudioFacts, Unreadable
from tasks.data.findings import Severity
from tasks.data.preflight import PreflightResult, preflight
from tests.support import factories
from tests.support.audio_cases import HOLD_16_BITS, RATE, loud, write, write_extended_wave64

if TYPE_CHECKING:
    from pathlib import Path


def facts(path: Path) -> AudioFacts:
    """What is said of a file that can be read."""
    found = audio_probe.probe(path)
    assert isinstance(found, AudioFacts)
    return found


@pytest.mark.parametrize(("kind", "subtype"), HOLD_16_BITS.values(), ids=list(HOLD_16_BITS))
def test_a_recording_is_the_same_in_whatever_samples_it_is_kept(
    tmp_path: Path, kind: str, subtype: str
) -> None:
    """What is hashed and sent are its 16-bit samples, at their level; the hash never changes."""
    wave = loud()
    path = write(tmp_path / "it", wave / 32768, subtype, kind)
    heard, rate = audio_probe.read_16_bits(path)
    assert rate == RATE
    assert heard.dtype == np.int16
    assert np.array_equal(heard, wave)
    found = facts(path)
    assert (found.peak, found.over_range, found.not_finite) == (32768, 0, 0)
    assert found.sha256 == hashlib.sha256(b"16000 1\n" + wave.tobytes()).hexdigest()


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wider_samples_are_rounded(tmp_path: Path, subtype: str) -> None:
    """To the nearest of 16 bits, in every kind of file alike."""
    wave = np.random.default_rng(4).integers(-(2**23), 2**23, 4000) / 2**23
    wanted = np.minimum(np.rint(wave * 32768), 32767)
    heard, _ = audio_probe.read_16_bits(write(tmp_path / "it", wave, subtype))
    assert np.array_equal(heard, wanted)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_long_recording_is_read_in_pieces(tmp_path: Path, subtype: str) -> None:
    """Hash and peak are those of the whole."""
    wave = loud(40.0) // 2
    wave[-1] = -30000
    found = facts(write(tmp_path / "it", wave / 32768, subtype))
    assert (found.frames, found.peak) == (len(wave), 30000)
    assert found.sha256 == hashlib.sha256(b"16000 1\n" + wave.tobytes()).hexdigest()


def checked(cycle: Path, wave: Any, subtype: str = "FLOAT") -> PreflightResult:
    """The preflight of a cycle whose third recording is this one."""
    write(cycle / "audio/2.wav", wave, subtype)
    return preflight(cycle / "manifest.jsonl", AudioLimits(RATE), None)


def speech(peak: float) -> Any:
    """Two seconds of a tone that swells, with this peak."""
    time = np.arange(2 * RATE) / RATE
    wave = np.sin(2 * np.pi * 220 * time) * np.sin(np.pi * time / 2)
    return wave * peak / np.abs(wave).max()


@pytest.mark.parametrize("peak", [0.01, 0.4, 0.9, 1.0])
def test_speech_in_floats_is_no_silence(cycle: Path, peak: float) -> None:
    """At whatever level it was recorded."""
    assert checked(cycle, speech(peak)).findings == ()


@pytest.mark.parametrize(
    ("wave", "code", "severity"),
    [
        (np.zeros(8000), "audio-silent", Severity.ERROR),
        (speech(1e-6), "audio-silent", Severity.ERROR),
        (speech(1.0) * np.where(np.arange(2 * RATE) == 5000, np.nan, 1), "audio-not-finite", None),
        (np.append(speech(0.5), np.inf), "audio-not-finite", None),
        (np.append(speech(0.5), -1.02), "audio-over-range", Severity.WARNING),
        (speech(20000.0), "audio-over-range", Severity.ERROR),
    ],
)
def test_floats_that_are_no_recording_are_found(
    cycle: Path, wave: Any, code: str, severity: Severity | None
) -> None:
    """Silence at 16 bits, NaN, infinity, and samples beyond full scale; few of these only warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = checked(cycle, wave).findings
    assert (found.code, found.row) == (code, 3)
    assert found.severity is (severity or Severity.ERROR)


def test_a_wav_of_unknown_length_is_not_called_cut_short(tmp_path: Path) -> None:
    """A program that writes into a pipe leaves the size open, and promises nothing."""
    path = factories.write_wav(tmp_path / "piped.wav", seed=5)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    fact = facts(path)
    assert fact.frames == fact.header_frames == 4800


def test_the_loudest_sample_is_found(tmp_path: Path) -> None:
    """The most negative sample has a size of its own, which 16 bits cannot negate."""
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([0, -32768, 5], dtype="int16"), RATE, subtype="PCM_16")
    fact = facts(path)
    assert fact.peak == 32768
    assert fact.duration == pytest.approx(3 / 16000)


def test_floats_that_libsndfile_reads_as_integers_are_refused(tmp_path: Path) -> None:
    """A Wave64 whose sample format stands in an extension: it would be distorted in silence."""
    path = tmp_path / "a.w64"
    write_extended_wave64(path, loud() / 32768)
    found = audio_probe.probe(path)
    assert isinstance(found, Unreadable)
    assert found.reason == "libsndfile reads the floats of this Wave64 as integers"
    soundfile.write(tmp_path / "b.w64", loud() / 32768, RATE, subtype="FLOAT")
    assert facts(tmp_path / "b.w64").peak > 0
