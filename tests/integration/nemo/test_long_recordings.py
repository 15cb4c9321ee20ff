"""A long recording is cut by the embedded base, or by a base of which it is one head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.long_recordings import compare, make_recording
from tasks.models.catalog import embedded_path
from tasks.runtimes import hardware
from tasks.runtimes.local import LocalRuntime
from tasks.stages.long_recordings import CutSettings, LongRowCutter
from tests.support import corpora

if TYPE_CHECKING:
    from pathlib import Path


def test_words_are_in_the_rows_in_which_they_are_said(tmp_path: Path) -> None:
    """Of a recording of 75 seconds all; one sentence that nobody says is set apart."""
    source = tmp_path / "source"
    source.mkdir()
    sentences = make_recording(source, 1.25, 1, seed=7)
    cutter = LongRowCutter(CutSettings(embedded_path(), 12.0), LocalRuntime(hardware.detect()))
    summary = corpora.run(source, tmp_path / "cycle1", cutter=cutter, check=False)
    result = compare(tmp_path / "cycle1", sentences, 1.0, 1.0, 0.0)
    assert result.words > 100
    assert result.right >= 0.98 * result.words
    assert result.longest_s <= 12.0
    assert 0 < result.faulty == result.faulty_set_apart
    assert result.sound_set_apart == 0
    assert summary.rows == result.rows >= 4
