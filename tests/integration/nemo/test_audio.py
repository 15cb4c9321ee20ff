"""What NeMo's readers and our own make of a recording's samples: the same."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from tasks.models.catalog import resolve
from tasks.runtimes.base import ENTRY
from tests.support.audio_cases import HOLD_16_BITS, RATE, loud, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("kind", "subtype"), HOLD_16_BITS.values(), ids=list(HOLD_16_BITS))
def test_training_and_transcription_hear_what_is_sent(
    tmp_path: Path, kind: str, subtype: str
) -> None:
    """NeMo's loader and our own have the same samples between -1 and 1."""
    sys.path.insert(0, str(ENTRY))
    import audio_reader  # type: ignore[import-not-found]  # noqa: PLC0415 - torch takes seconds
    from nemo.collections.asr.parts.preprocessing.segment import (  # noqa: PLC0415 - likewise
        AudioSegment,
    )

    wave = loud()
    path = str(write(tmp_path / "it", wave / 32768, subtype, kind))
    assert np.array_equal(audio_reader.read(path, RATE), np.float32(wave / 32768))
    assert np.array_equal(AudioSegment.from_file(path).samples, np.float32(wave / 32768))


# Names that NeMo before 3.0 does not take for a recording, or takes for another kind.
BY_NAME = {
    "a.FLAC": ("FLAC", "PCM_16"),
    "b.WAV": ("WAV", "FLOAT"),
    "c.wave": ("WAV", "PCM_16"),
    "d": ("WAV", "PCM_24"),
    "e.WAV": ("WAV", "ULAW"),
    "f.opus": ("OGG", "OPUS"),
    "g.wav": ("WAV", "FLOAT"),
    "h.wav": ("WAV", "ULAW"),
}
HEAR = """
import sys
sys.path.insert(0, sys.argv[1])
import nemo_audio_formats, numpy
assert nemo_audio_formats.by_content()
from nemo.collections.asr.parts.preprocessing.segment import AudioSegment
for path in sys.argv[2:]:
    numpy.save(path + ".npy", AudioSegment.from_file(path).samples)
"""


@pytest.mark.needs("nemo26")
def test_nemo_before_3_hears_what_preflight_heard(tmp_path: Path) -> None:
    """Whatever a file's name ends in; without the mend NeMo 2.6 has ffprobe read some of these."""
    python = os.environ["FLYWHEEL_NEMO26_PYTHON"]
    sys.path.insert(0, str(ENTRY))
    import audio_reader  # noqa: PLC0415 - torch takes seconds

    for name, (kind, subtype) in BY_NAME.items():
        write(tmp_path / name, loud() / 32768 / 2, subtype, kind)
    paths = [str(tmp_path / name) for name in BY_NAME]
    program = [python, "-c", HEAR, str(ENTRY), *paths]
    environment = {**os.environ, "PATH": str(tmp_path)}  # no ffprobe is found there
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path in paths:
        rate = soundfile.info(path).samplerate
        assert np.array_equal(np.load(f"{path}.npy"), audio_reader.read(path, rate)), path


def test_a_model_that_decodes_by_itself_reads_by_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """From when it is restored, where NeMo has a list of endings, as before 3.0."""
    sys.path.insert(0, str(ENTRY))
    import greedy_decoder  # type: ignore[import-not-found]  # noqa: PLC0415 - torch takes seconds
    from nemo.collections.asr.parts.preprocessing import segment  # noqa: PLC0415 - likewise

    monkeypatch.setattr(segment, "sf_supported_formats", [".wav"], raising=False)
    greedy_decoder.restore(str(resolve("embedded")), "cpu")
    assert all(ending in segment.sf_supported_formats for ending in (".FLAC", ".opus", ""))
