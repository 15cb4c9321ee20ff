"""The strength of boosting is chosen by the rule of mixtures."""

from __future__ import annotations

import pytest

from tasks.decision.boosting_choice import (
    COARSE,
    RULE,
    STRONGEST,
    choose_strength,
    fixed_strength,
    refine,
    stated_strength,
    value_of,
)
from tasks.decision.mixture_choice import Candidate

_WORDS = tuple([10] * 100)


def candidate(strength: float, missed: int, general_edits: int) -> Candidate:
    """A candidate of 20 rows, whose general sentences hold so many edits."""
    edits = tuple(1 if place < general_edits else 0 for place in range(100))
    misses = tuple(1.0 if place < missed else 0.0 for place in range(20))
    terms = tuple(f"term {place}" for place in range(20))
    return Candidate(value_of(strength), misses, terms, edits, _WORDS)


def test_grid_reaches_the_strongest() -> None:
    """Strengths ascend, and the last is the strongest that is tried."""
    assert list(COARSE) == sorted(COARSE)
    assert COARSE[-1] == STRONGEST


def test_strongest_that_holds_general_english_is_not_passed() -> None:
    """More strength misses fewer terms, until general English breaks."""
    tried = [
        candidate(0, 18, 40),
        candidate(0.5, 14, 40),
        candidate(1.0, 10, 41),
        candidate(1.5, 6, 60),
        candidate(2.0, 4, 99),
    ]
    made = choose_strength(tried, 0.005)
    assert made.strength in {0.5, 1.0}
    assert made.held
    assert refine(tried, 0.005)
    assert all(0 < strength <= STRONGEST for strength in refine(tried, 0.005))
    written = made.as_dict()["candidates"]
    assert isinstance(written, list)
    assert [one["strength"] for one in written] == [0, 0.5, 1.0, 1.5, 2.0]


def test_where_none_holds_the_weakest_is_taken() -> None:
    """And the reason says so."""
    made = choose_strength([candidate(0, 18, 0), candidate(0.5, 1, 50)], 0.005)
    assert (made.strength, made.held) == (0.5, False)
    assert "No strength holds" in made.reason


def test_too_few_rows_state_a_strength() -> None:
    """The reason names the categories; a given strength is taken as it is."""
    made = stated_strength({"drug": 10})
    assert made.strength == STRONGEST * RULE.stated
    assert "drug 10" in made.reason
    assert fixed_strength(0.7).strength == pytest.approx(0.7)
