"""Silero's detector tells a ventilator from speech, in an import and in a preflight."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from asr_flywheel import embedded
from tasks.data import nonspeech
from tasks.data.speech_check import SileroDetector
from tests.support import corpora, stub_programs

if TYPE_CHECKING:
    from tasks.data.audio_probe import Samples

SPEECH = Path(embedded.__file__).with_name("speech.wav")


@pytest.fixture(scope="module")
def detector() -> Any:
    """The detector that the extra brings."""
    return SileroDetector()


def sound(kind: str) -> Samples:
    """A computed recording without speech, or the embedded sentence."""
    path = SPEECH
    if kind != "speech":
        path = next(one.audio for one in nonspeech.recordings() if one.audio.stem == f"{kind}-9")
    samples, _ = soundfile.read(path, dtype="int16")
    return np.asarray(samples)


@pytest.mark.parametrize("kind", nonspeech.KINDS)
def test_nothing_without_a_voice_is_speech(detector: SileroDetector, kind: str) -> None:
    """Of all that the level check takes for speech, too."""
    assert detector.seconds(sound(kind), corpora.RATE) == 0


@pytest.mark.parametrize("gain", [1.0, 0.02], ids=["as loud as usual", "34 dB quieter"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_speech_is_heard_at_any_level_and_rate(
    detector: SileroDetector, gain: float, rate: int
) -> None:
    """Also of a telephone, and in one of two channels."""
    import soxr  # noqa: PLC0415 - an extra's

    samples = (soxr.resample(sound("speech"), corpora.RATE, rate) * gain).astype(np.int16)
    assert detector.seconds(samples, rate) > 0.5
    assert detector.seconds(np.stack([samples, samples * 0], axis=1), rate) > 0.5


def test_an_import_and_a_preflight_tell_rows_in_which_nobody_speaks(tmp_path: Path) -> None:
    """The level check alone passes both; the row is kept, and the cost is printed."""
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(SPEECH, source / "speech.wav")
    soundfile.write(source / "ventilator.wav", sound("ventilator"), corpora.RATE)
    rows = [{"audio_filepath": f"{name}.wav", "text": "hello"} for name in ("speech", "ventilator")]
    (source / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    line = ("import", "source/manifest.jsonl", "cycle1")
    imported = stub_programs.run_command(tmp_path, *line, "--speech")
    assert imported.returncode == 0, imported.stderr
    assert "row 2: a detector of voices finds no speech" in imported.stdout
    assert "row 1" not in imported.stdout
    assert "speech check: 2 recordings" in imported.stderr
    checked = stub_programs.run_command(
        tmp_path, "preflight", "cycle1", "--base", "embedded", "--speech"
    )
    assert checked.returncode == 0, checked.stderr
    assert "1 without speech" in checked.stdout
    assert "2 rows checked, 1 warning" in checked.stdout
    refused = stub_programs.run_command(tmp_path, *line[:2], "cycle2", "--speech", "--no-check")
    assert refused.returncode == 2
    assert "--speech: has no effect with --no-check" in refused.stderr
