"""The cut of a very long transcription."""

from __future__ import annotations

from tasks.transcription import sharding


def test_a_million_rows_make_pieces_of_one_size() -> None:
    """A worker loses at most 8192 rows when it is killed."""
    count = 1_000_000
    found = sharding.pieces([3.0] * count, [f"{n:06}" for n in range(count)])
    assert {len(piece) for piece in found[:-1]} == {sharding.MOST_ROWS}
    assert sum(map(len, found)) == count
