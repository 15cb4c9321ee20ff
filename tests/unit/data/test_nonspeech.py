"""Recordings without speech: the same everywhere, whole, and of the levels that they claim."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from tasks.common import hashing
from tasks.data import nonspeech

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recordings, written anew."""
    made = tmp_path_factory.mktemp("cache") / "nonspeech"
    nonspeech.write(made)
    return made


def test_sixty_recordings_of_six_kinds(folder: Path) -> None:
    """Ten of each, from one second to six."""
    kinds = Counter(path.stem.rpartition("-")[0] for path in folder.iterdir())
    assert kinds == dict.fromkeys(nonspeech.KINDS, 10)
    lengths = [soundfile.info(path).duration for path in folder.glob("hum-*.wav")]
    assert (min(lengths), max(lengths)) == (1.0, 6.0)
    assert {soundfile.info(path).samplerate for path in folder.iterdir()} == {16_000}


def test_they_are_the_same_bytes_everywhere(folder: Path) -> None:
    """The hash was taken on one machine: figures of two machines are of the same recordings."""
    hashes = [hashing.sha256(path) for path in sorted(folder.iterdir())]
    assert hashing.fingerprint(hashes)[:16] == "5480444c6d153301"


@pytest.mark.parametrize(
    ("kind", "lowest", "highest"),
    [("room", -61, -44), ("hiss", -46, -19), ("hum", -41, -19), ("ventilator", -41, -24)],
)
def test_levels_are_those_of_their_kind(
    folder: Path, kind: str, lowest: float, highest: float
) -> None:
    """In dB of full scale."""
    for path in folder.glob(f"{kind}-*.wav"):
        samples, _ = soundfile.read(path)
        assert lowest < 20 * np.log10(np.sqrt(np.mean(samples**2))) < highest


def test_silence_is_digital_zero(folder: Path) -> None:
    """To the last sample."""
    assert not any(soundfile.read(path)[0].any() for path in folder.glob("silence-*.wav"))


def test_they_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the user's cache; a folder that is half written never stands under the name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(nonspeech, "OF_EACH_KIND", 2)
    first = nonspeech.recordings()
    monkeypatch.setattr(nonspeech, "write", lambda _: pytest.fail("written again"))
    assert nonspeech.recordings() == first
    assert len(first) == 12
    assert first[0].kind == "hiss"
    assert first[0].seconds == 1.0
    assert [path.name for path in (tmp_path / "asr-flywheel").iterdir()] == ["nonspeech-1"]
