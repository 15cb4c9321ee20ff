"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from tasks.common.counted import counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_one_is_singular(number: int, said: str) -> None:
    """And nothing else is."""
    assert counted(number, "row") == said
