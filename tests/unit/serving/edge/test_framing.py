"""Silence around a recording puts the frames of sherpa-onnx where NeMo's are."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.models.nemo_archive import Decoder
from tasks.serving.causes import CauseName
from tasks.serving.edge import engine_files, substitutes
from tasks.serving.edge.bundle import EdgeEngine, Framing
from tasks.serving.edge.recognizers import framed

WINDOW, HOP = 400, 160
SHERPA = engine_files.framing(EdgeEngine.SHERPA_ONNX)


@pytest.mark.parametrize("length", [160, 161, 319, 320, 16000, 16159])
def test_there_are_as_many_frames_as_nemo_takes(length: int) -> None:
    """Of whole frames alone; NeMo has one for each whole hop. The first is centred on sample 0."""
    whole = framed(np.ones(length, np.float32), SHERPA, 16000)
    assert 1 + (len(whole) - WINDOW) // HOP == length // HOP
    assert whole[: WINDOW // 2].tolist() == [0.0] * (WINDOW // 2)
    assert whole[WINDOW // 2] == 1.0


def test_the_silence_has_the_recordings_rate() -> None:
    """At 8 kHz the same time is half as many samples."""
    assert len(framed(np.ones(8000, np.float32), SHERPA, 8000)) == 8000 + 100 + 20


def test_a_recording_shorter_than_a_hop_still_has_a_frame() -> None:
    """sherpa-onnx's graphs fail without one."""
    assert len(framed(np.ones(3, np.float32), SHERPA, 16000)) == WINDOW


def test_an_engine_that_needs_none_gets_the_recording_itself() -> None:
    """onnx-asr's frames are NeMo's."""
    samples = np.ones(3, np.float32)
    assert framed(samples, engine_files.framing(EdgeEngine.ONNX_ASR), 16000) is samples
    assert framed(samples, Framing(), 16000) is samples


def test_only_sherpas_transducers_have_another_window() -> None:
    """What has no option is listed for each kind of decoder, and each has settings of its own."""
    causes = {
        decoder: [one.cause for one in substitutes.of_engine(EdgeEngine.SHERPA_ONNX, decoder)]
        for decoder in (Decoder.CTC, Decoder.TDT)
    }
    assert causes == {
        Decoder.CTC: [CauseName.LOG_FLOOR],
        Decoder.TDT: [CauseName.WINDOW, CauseName.LOG_FLOOR, CauseName.GREEDY],
    }
    assert substitutes.of_engine(EdgeEngine.ONNX_ASR, Decoder.TDT) == ()
    settings = substitutes.of_features(EdgeEngine.SHERPA_ONNX, Decoder.TDT)
    assert list(settings) == ["window-of-the-features", "floor-of-the-logarithm"]
