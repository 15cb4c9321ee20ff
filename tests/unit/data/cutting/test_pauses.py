"""Pauses are found by level, in quiet recordings and in noisy ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from tasks.data.cutting.pauses import Pause, find_quiet, pauses_between, read_levels

if TYPE_CHECKING:
    from pathlib import Path

RATE = 16000


@pytest.mark.parametrize("noise_db", [-120.0, -60.0, -40.0])
def test_a_pause_is_found_in_noise(tmp_path: Path, noise_db: float) -> None:
    """A second of speech, half a second of none, a second of speech."""
    rng = np.random.default_rng(1)
    sound = rng.normal(size=RATE * 5 // 2) * 0.1
    sound[RATE : RATE * 3 // 2] = 0
    sound += rng.normal(size=len(sound)) * 10 ** (noise_db / 20)
    soundfile.write(tmp_path / "a.flac", sound.clip(-1, 1), RATE)
    levels = read_levels(tmp_path / "a.flac")
    assert len(levels) == 250
    quiet = find_quiet(levels)
    assert pauses_between(quiet, 0.0, 2.5) == [Pause(1.0, 1.5)]
    assert pauses_between(quiet, 1.2, 2.5) == [Pause(1.2, 1.5)]
    assert pauses_between(quiet, 1.48, 1.5) == []
    assert pauses_between(quiet, 2.0, 1.0) == []


def test_nothing_has_no_pause() -> None:
    """Nor has a recording of no samples a level."""
    assert not len(find_quiet(np.zeros(0, dtype=np.float32)))
