"""The split against pandas, which draws rows of each category and knows nothing of recordings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pandas as pd

from benchmarks.rows import BenchmarkRow
from tasks.data.row_groups import SplitRow
from tasks.data.split import split_rows
from tasks.data.vocabularies import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = 200_000
TURNS = 3


def manifest_rows(count: int) -> list[SplitRow]:
    """Make rows as a large manifest has them: every tenth recording stands in two of them."""
    return [
        SplitRow(
            row,
            CATEGORIES[row % len(CATEGORIES)],
            # The ninth of ten rows is the tenth one's recording under another name.
            f"{row // 10 * 10 + min(row % 10, 8):064x}",
            f"the patient takes medicine number {row} twice a day",
        )
        for row in range(count)
    ]


def rows() -> Iterator[BenchmarkRow]:
    """Time ours against pandas' stratified draw, in processor seconds, the best of some rounds."""
    split_input = manifest_rows(ROWS)
    frame = pd.DataFrame(
        {"row": [row.row for row in split_input], "category": [row.category for row in split_input]}
    )

    def pandas() -> None:
        held_out = frame.groupby("category").sample(frac=0.2, random_state=42)
        frame.drop(held_out.index)

    note = "pandas keeps no recording on one side and depends on the rows' order"
    ours, theirs = best(lambda: split_rows(split_input)), best(pandas)
    yield BenchmarkRow(
        f"split of {ROWS:,} rows: pandas' stratified sample", ours, theirs, "s", note
    )


def best(do: Callable[[], object]) -> float:
    """Return the processor seconds of the fastest round, so that a busy machine does not decide."""
    seconds = []
    for _ in range(TURNS):
        began = time.process_time()
        do()
        seconds.append(time.process_time() - began)
    return min(seconds)
