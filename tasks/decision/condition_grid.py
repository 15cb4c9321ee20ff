"""Cross a term with conditions: the weakness of each, and the number of each to take."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

from tasks.evaluation.error_counts import Proportion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.evaluation.scoring import UtteranceScore

USUAL_ROWS_PER_TERM = 12
"""2 voices x 2 noise levels x 3 contexts, as in the build stage's own example."""

Cell = tuple[str | None, str | None, str | None]
CONDITIONS = ("voice_id", "noise_level", "context_type")
"""The fields of a cell, in its order."""


def shares_by(rows: Iterable[UtteranceScore], dimension: str) -> dict[str, Proportion]:
    """Count missed rows by a field's values; only rows that may judge count."""
    shares: dict[str, Proportion] = {}
    for row in rows:
        value = getattr(row.row, dimension)
        if value is None:
            continue
        row_share = (
            Proportion(int(bool(row.term_missed)), 1) if row.row.judges else Proportion(0, 0)
        )
        shares[value] = shares.get(value, Proportion(0, 0)) + row_share
    return shares


def expected(share: Proportion) -> float:
    """Return KER by Laplace's rule of succession, so that a single row does not lead a list."""
    return (share.hits + 1) / (share.n + 2)


def cell_of(row: UtteranceScore) -> Cell:
    """Return a row's voice, noise level and context."""
    return (row.row.voice_id, row.row.noise_level, row.row.context_type)


def cells(chosen: Sequence[Sequence[str]]) -> int:
    """Count the combinations; a dimension without values does not count."""
    return math.prod(max(1, len(values)) for values in chosen)


def new_cells(chosen: Sequence[Sequence[str]], recorded: Mapping[Cell, int]) -> int:
    """Count the combinations that have no row yet."""
    return sum(cell not in recorded for cell in product(*(values or (None,) for values in chosen)))


def shape(
    pools: Sequence[Sequence[str]], rows_wanted: int, recorded: Mapping[Cell, int]
) -> tuple[int, ...]:
    """Return how many values of each dimension to cross, for the fewest rows that suffice.

    Of equal ones the most balanced, since rows that differ in one thing only teach less; then the
    one with more values in the first dimensions.

    Args:
        pools: the values of each dimension, those to take first in front.
        rows_wanted: how many new rows.
        recorded: the combinations that have a row.
    """

    def worth(counts: tuple[int, ...]) -> tuple[bool, int, int, tuple[int, ...]]:
        rows = new_cells([pool[:n] for pool, n in zip(pools, counts, strict=True)], recorded)
        enough = rows >= rows_wanted
        fewer = tuple(-count for count in counts)
        return (not enough, rows if enough else -rows, max(counts) - min(counts), fewer)

    ranges = [
        range(1, min(len(pool), USUAL_ROWS_PER_TERM) + 1) if pool else range(1) for pool in pools
    ]
    # More than twice the usual rows are never wanted: that bounds the search.
    shapes = (counts for counts in product(*ranges) if math.prod(counts) <= 2 * USUAL_ROWS_PER_TERM)
    return min(shapes, key=worth)
