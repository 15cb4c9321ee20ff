"""Numbers with their nouns and verbs."""

from __future__ import annotations

import pytest

from tasks.common.counted import agreed, counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_one_is_singular(number: int, said: str) -> None:
    """And nothing else is."""
    assert counted(number, "row") == said


@pytest.mark.parametrize(("number", "said"), [(0, "are"), (1, "is"), (2, "are")])
def test_the_verb_goes_with_the_number(number: int, said: str) -> None:
    """So that one row is, and no rows are."""
    assert agreed(number, "is", "are") == said
