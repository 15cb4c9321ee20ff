"""How a transcription is cut: by content, evenly, and never so that a result depends on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.errors import InputError
from tasks.transcription import shard_files, sharding
from tasks.transcription.audio_sets import AudioSet

if TYPE_CHECKING:
    from pathlib import Path

recordings = st.lists(
    st.tuples(st.integers(0, 10**9), st.floats(0.1, 30)), max_size=300, unique_by=lambda one: one[0]
)
seconds = st.lists(st.floats(0.1, 1000), max_size=60)


@given(recordings, st.randoms(use_true_random=False))
def test_pieces_hold_every_recording_once_whatever_the_order(
    rows: list[tuple[int, float]], draw: object
) -> None:
    """The same recordings stand together, however the manifest is ordered; the longest first."""
    shuffled = list(rows)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    found = [
        [
            [one[place][0] for place in piece]
            for piece in sharding.pieces([s for _, s in one], [str(name) for name, _ in one])
        ]
        for one in (rows, shuffled)
    ]
    assert found[0] == found[1]
    assert sorted(name for piece in found[0] for name in piece) == sorted(name for name, _ in rows)
    length = dict(rows)
    everything = [length[name] for piece in found[0] for name in piece]
    assert everything == sorted(everything, reverse=True)


@given(seconds, st.integers(1, 20))
def test_shards_are_even_and_none_is_empty(lengths: list[float], count: int) -> None:
    """Every piece is dealt once; no shard is longer than its fair share by more than a piece."""
    dealt = sharding.deal(lengths, count)
    assert sorted(piece for one in dealt for piece in one) == list(range(len(lengths)))
    assert all(dealt)
    assert len(dealt) == min(count, len(lengths))
    if lengths:
        heaviest = max(sum(lengths[piece] for piece in one) for one in dealt)
        assert heaviest <= sum(lengths) / len(dealt) + max(lengths) + 1e-6


def test_a_recording_that_stands_twice_is_refused() -> None:
    """It would be decoded twice."""
    with pytest.raises(ValueError, match="once"):
        sharding.pieces([1.0, 1.0], ["x", "x"])


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Also with names that are not ASCII; a changed list is refused."""
    audio = AudioSet((tmp_path / "ä b.wav",), (1.25,), ("x",), (tmp_path,), shifts=((0, 40),))
    todo = [(tmp_path / "m.nemo", audio)]
    path = shard_files.write(tmp_path / "lists", todo)
    assert shard_files.read(path) == todo
    content = json.loads(path.read_text())
    content["pieces"][0]["durations"] = [2.0]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="not what its name says"):
        shard_files.read(path)
