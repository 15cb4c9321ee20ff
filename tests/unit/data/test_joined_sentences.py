"""Sentences joined to long recordings: the same ones each time, whole, with quiet pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from tasks.common import hashing
from tasks.data.joined_sentences import PAUSE_S, ROWS_ON_CPU, ROWS_ON_GPU, plan, write
from tasks.data.preflight import CheckedRow
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def sentences(folder: Path, count: int, seconds: float = 4.0) -> list[CheckedRow]:
    """Checked rows, whose recordings are not written."""
    return [
        CheckedRow(
            factories.utterance(number, duration=seconds, text=f"sentence number {number}"),
            folder / f"{number}.wav",
            f"hash{number}",
            "",
            None,
        )
        for number in range(count)
    ]


def test_each_recording_lasts_at_least_its_length_and_is_whole(tmp_path: Path) -> None:
    """The counts are the stated ones; no recording is a sentence longer than it must be."""
    rows = plan(sentences(tmp_path, 400), ROWS_ON_GPU)
    counts = {length: sum(row.seconds == length for row in rows) for length in ROWS_ON_GPU}
    assert counts == ROWS_ON_GPU
    for row in rows:
        assert row.seconds <= row.duration < row.seconds + 4.0 + PAUSE_S
        assert len(set(row.texts)) == len(row.sentences) > 1
    assert rows[0].text.startswith("sentence number 0 sentence number 1 ")
    assert {row.name for row in plan(sentences(tmp_path, 400), ROWS_ON_CPU)} < {
        row.name for row in rows
    }


def test_a_sentence_stands_in_one_recording_of_a_length(tmp_path: Path) -> None:
    """The lengths begin with the same sentences."""
    rows = plan(sentences(tmp_path, 400), ROWS_ON_GPU)
    for length in ROWS_ON_GPU:
        used = [text for row in rows if row.seconds == length for text in row.texts]
        assert len(used) == len(set(used))
        assert used[0] == "sentence number 0"


def test_few_and_long_sentences_make_few_recordings(tmp_path: Path) -> None:
    """Twenty of 4 s reach 60 s once and 120 s never; one of 40 s is joined to 120 s alone."""
    assert [row.seconds for row in plan(sentences(tmp_path, 20))] == [30, 30, 60]
    long_ones = plan(sentences(tmp_path, 6, seconds=40.0))
    assert [(row.seconds, len(row.sentences)) for row in long_ones] == [(120, 3)]
    assert plan([]) == ()


def test_another_sentence_is_another_recording(tmp_path: Path) -> None:
    """A text that was decoded before is found by what is said in it, and in which order."""
    some = sentences(tmp_path, 20)
    first = [row.recording for row in plan(some)]
    assert first == [row.recording for row in plan(sentences(tmp_path, 20))]
    assert first[0] != plan(some[1:])[0].recording
    assert len(set(first)) == len(first)


def make(folder: Path, count: int) -> Sequence[CheckedRow]:
    """Sentences of 8 s with their recordings."""
    rows = sentences(folder, count, seconds=8.0)
    for row in rows:
        factories.write_wav(row.audio, 8.0, seed=row.utterance.row)
    return rows


def test_the_recordings_hold_the_sentences_samples_and_the_same_bytes(tmp_path: Path) -> None:
    """Between two lies a quarter of a second of noise, as quiet as the sentence at its quietest."""
    rows = plan(make(tmp_path, 4))
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        write(rows, folder)
    first, second = (tmp_path / folder / "joined-30-0.wav" for folder in ("one", "two"))
    assert hashing.sha256_file(first) == hashing.sha256_file(second)
    samples, rate = soundfile.read(first, dtype="int16")
    assert len(samples) / rate == pytest.approx(rows[0].duration)
    sentence, _ = soundfile.read(rows[0].sentences[1].audio, dtype="int16")
    start = round((8.0 + PAUSE_S) * rate)
    assert (samples[start : start + len(sentence)] == sentence).all()
    pause = samples[8 * rate : start].astype(float)
    assert 0 < np.sqrt((pause**2).mean()) < np.sqrt((sentence.astype(float) ** 2).mean()) / 5


def test_digital_silence_between_sentences_is_not_zero(tmp_path: Path) -> None:
    """Zeros alone would shift the normalisation of the whole recording."""
    rows = make(tmp_path, 4)
    for row in rows:
        samples, rate = soundfile.read(row.audio, dtype="int16")
        samples[: rate // 10] = 0
        soundfile.write(row.audio, samples, rate, subtype="PCM_16")
    write(plan(rows), tmp_path)
    samples, rate = soundfile.read(tmp_path / "joined-30-0.wav", dtype="int16")
    pause = samples[8 * rate : round((8 + PAUSE_S) * rate)]
    assert pause.any()
    assert abs(pause).max() < 10


def test_recordings_of_two_rates_are_not_joined(tmp_path: Path) -> None:
    """The preflight has refused them; here they are no guess."""
    rows = make(tmp_path, 4)
    factories.write_wav(rows[1].audio, 8.0, rate=8000)
    with pytest.raises(ValueError, match="8000, 16000"):
        write(plan(rows), tmp_path)
