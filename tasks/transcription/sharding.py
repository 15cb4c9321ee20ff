"""Cut a large transcription into pieces and shards for several workers.

A piece is what is decoded together and kept together. Pieces depend on the recordings alone, by
their length and content: neither on how many shards there are nor on the manifest's order, so that
every recording is decoded in the same company, and the merged result has the same bytes. A shard
is the pieces that one worker decodes in one run; what a lost worker had finished is kept by piece.

Nothing here knows of Prefect; the wiring is flows/transcribe_shards.py.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Enough rows that a GPU is busy with one piece for seconds; few enough that losing one is cheap.
MOST_ROWS = 8192
# A small set is cut as well, or it could not be shared.
LEAST_ROWS = 32
_LEAST_PIECES = 8


def pieces(durations: Sequence[float], recordings: Sequence[str]) -> list[tuple[int, ...]]:
    """Group the recordings' places into pieces to decode together, the longest first.

    Args:
        durations: seconds, one a recording.
        recordings: content hashes, all different.

    Returns:
        Every place once.

    Raises:
        ValueError: a recording stands twice, or the two do not fit together.
    """
    if len(durations) != len(recordings) or len(set(recordings)) != len(recordings):
        raise ValueError("one duration a recording, and every recording once")
    count = len(recordings)
    size = min(MOST_ROWS, max(LEAST_ROWS, -(-count // _LEAST_PIECES)))
    order = sorted(range(count), key=lambda place: (-durations[place], recordings[place]))
    return [tuple(order[start : start + size]) for start in range(0, count, size)]


def deal(seconds: Sequence[float], shards: int) -> list[list[int]]:
    """Deal pieces out to shards of about equal length.

    The longest piece that is left goes to the shard that has least (Graham 1969), so that no shard
    is longer than the fair share by more than one piece.

    Args:
        seconds: of audio in each piece.
        shards: how many there may be, at least 1.

    Returns:
        The numbers of each shard's pieces, in their order; no shard is empty, so that there may be
        fewer than asked for.
    """
    if shards < 1:
        raise ValueError("there is at least one shard")
    pieces_by_shard: list[list[int]] = [[] for _ in range(min(shards, len(seconds)))]
    lightest = [(0.0, number) for number in range(len(pieces_by_shard))]
    for piece in sorted(range(len(seconds)), key=lambda number: (-seconds[number], number)):
        total, number = lightest[0]
        pieces_by_shard[number].append(piece)
        heapq.heapreplace(lightest, (total + seconds[piece], number))
    return [sorted(numbers) for numbers in pieces_by_shard]
