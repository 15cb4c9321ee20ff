"""A clinic's own recordings are cut, and their words are judged, where NeMo is: in a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import soundfile

from benchmarks.long_recordings import compare, make_recording
from tasks.models.catalog import embedded_path
from tasks.stages.long_recordings import CutSettings, LongRowCutter
from tasks.transcription.audio_sets import AudioSet
from tasks.transcription.confidence import measure_confidence
from tests.support import corpora, docker_daemon
from tests.support.container_training_cases import NASTY, container

if TYPE_CHECKING:
    from pathlib import Path

# NeMo is imported twice in containers without a server of programs.
pytestmark = pytest.mark.by_night


def test_a_long_recording_is_cut_and_judged_in_a_container(tmp_path: Path) -> None:
    """Nothing of NeMo's is asked of this environment; names of folders do not matter."""
    docker_daemon.with_standin()
    source = tmp_path / NASTY
    source.mkdir()
    sentences = make_recording(source, 0.75, 0, seed=7)
    cutter = LongRowCutter(CutSettings(embedded_path(), 12.0), container())
    cycle = tmp_path / "cycle1"
    corpora.run(source, cycle, cutter=cutter, check=False)
    result = compare(cycle, sentences, 1.0, 1.0, 0.0)
    assert result.rows >= 2
    assert result.right >= 0.98 * result.words
    rows = corpora.rows(cycle)
    audio = tuple(cycle / row["audio_filepath"] for row in rows)
    seconds = tuple(soundfile.info(path).duration for path in audio)
    chosen = AudioSet(audio, seconds, tuple(map(str, audio)), (cycle,))
    words = measure_confidence(embedded_path(), chosen, container(), tmp_path / NASTY)
    assert words is not None
    assert [len(row) > 0 for row in words] == [True] * len(rows)
