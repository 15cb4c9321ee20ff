"""Our audio reader: any rate and number of channels, and 16 bits where memory is pinned."""

# ruff: noqa: PLC0415 - torch and NeMo take ten seconds that collecting tests need not pay

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from tasks.runtimes.base import ENTRY
from tests.support import factories

# The programs of tasks/entrypoints find each other beside themselves.
sys.path.insert(0, str(ENTRY))

if TYPE_CHECKING:
    from pathlib import Path


def test_a_recording_at_another_rate_is_resampled(tmp_path: Path) -> None:
    """To the model's rate, as one channel, with its length in seconds kept."""
    import audio_reader  # type: ignore[import-not-found]

    path = factories.write_wav(tmp_path / "a.wav", 0.5, rate=44_100, channels=2)
    assert len(audio_reader.read(str(path), factories.RATE)) == factories.RATE // 2


def test_16_bits_are_read_as_they_are_where_memory_is_pinned(tmp_path: Path) -> None:
    """The numbers are those of 32 bits; beside a recording that has no 16 bits, too."""
    import audio_reader
    import torch

    short = str(factories.write_wav(tmp_path / "a.wav", 0.5))
    stereo = str(factories.write_wav(tmp_path / "b.wav", 0.7, channels=2))
    compact = audio_reader.read_compactly(short, factories.RATE)
    plain = audio_reader.read(short, factories.RATE)
    assert compact.dtype == np.int16
    assert np.array_equal(compact / np.float32(audio_reader.FULL_SCALE), plain)
    mixed = audio_reader.read_compactly(stereo, factories.RATE)
    assert mixed.dtype == np.float32
    with audio_reader.Reader([short, stereo], factories.RATE, 1, pinned=False) as reader:
        (expected,) = reader.batches([[1, 0]], 0)
        made = reader._batch([(1, 0), (0, 0)], {0: compact, 1: mixed})
        alone = reader._batch([(0, 7)], {0: compact})
    assert torch.equal(made.signal, expected.signal)
    assert alone.signal.dtype == torch.int16
    assert not alone.signal[0, :7].any()
    assert np.array_equal(alone.signal[0, 7:].numpy(), compact)
