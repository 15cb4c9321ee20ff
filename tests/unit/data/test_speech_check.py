"""Rows in which a detector hears nobody are told, with what the check cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.preflight import preflight
from tasks.data.speech_check import SileroDetector, check_speech
from tests.support import corpora, factories

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.audio_probe import Samples


class LoudnessDetector:
    """Stands in for the detector of voices: hears one where the sound is loud."""

    def seconds(self, samples: Samples, rate: int) -> float:
        """Return the loud seconds."""
        return float(np.count_nonzero(np.abs(samples) > 5000)) / rate


def test_rows_without_speech_are_warned_of(tmp_path: Path) -> None:
    """By row and name, without stopping anything; what was heard is counted and timed."""
    names = ["loud", "quiet", "loud2"]
    for number, name in enumerate(names):
        sound = corpora.speech(1.0, seed=number)
        corpora.write(tmp_path / f"{name}.wav", sound if "loud" in name else sound // 16)
    factories.write_rows(
        tmp_path / "manifest.jsonl",
        [{"audio_filepath": f"{name}.wav", "text": f"take {name} now"} for name in names],
    )
    result = preflight(tmp_path / "manifest.jsonl", AudioLimits(corpora.RATE), None)
    assert len(result.rows) == 3
    lines: list[str] = []
    check = check_speech(result.rows, LoudnessDetector(), lines.append)
    (found,) = check.findings
    assert (found.code, found.row, found.value) == ("audio-no-speech", 2, "quiet.wav")
    assert "remove the row" in found.fix
    assert (check.rows, round(check.seconds, 3)) == (3, 3.0)
    assert "3 recordings" in str(check)
    assert "1 without speech" in str(check)
    assert lines == []


def test_a_missing_detector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line of pip that brings it, and the way without."""
    monkeypatch.setitem(__import__("sys").modules, "silero_vad", None)
    with pytest.raises(InputError, match=r"'\.\[vad\]' in this .*leave --speech out"):
        SileroDetector()
