"""Counts that tests of the split compare."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.data.row_groups import SplitRow


def count_categories(rows: Iterable[SplitRow], numbers: Iterable[int]) -> Counter[str]:
    """Count the rows of each category among these numbers."""
    category = {row.row: row.category for row in rows}
    return Counter(category[number] for number in numbers)
