"""Batches of like length: every recording once, within the budget of frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.entrypoints import length_batching

durations = st.lists(st.floats(0.1, 60), max_size=200)
budgets = st.builds(
    length_batching.Budget,
    st.integers(1, 20_000),
    st.integers(1, 64),
    st.floats(0, 1000),
    st.floats(0, 1),
    st.integers(0, 10**7),
)


@given(durations, budgets)
def test_batches_hold_every_recording_once_within_the_budget(
    seconds: list[float], budget: length_batching.Budget
) -> None:
    """The longest come first; what is over the budget alone is decoded alone."""
    found = list(length_batching.plan(seconds, budget))
    assert sorted(place for batch in found for place in batch) == list(range(len(seconds)))
    longest = [seconds[batch[0]] for batch in found]
    assert longest == sorted(longest, reverse=True)
    for batch in found:
        assert len(batch) == 1 or budget.fits(len(batch), length_batching.frames(seconds[batch[0]]))


@given(budgets)
def test_a_halved_budget_ends_at_one_recording(budget: length_batching.Budget) -> None:
    """Halving again and again cannot go on for ever."""
    for _ in range(40):
        budget = budget.halved()
    assert (budget.frames, budget.rows) == (1, 1)
