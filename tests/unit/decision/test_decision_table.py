"""The specification's table: every row of it with its boundaries, over one category and several."""

from __future__ import annotations

import pytest

from tasks.decision.decision_table import Movement, Verdict, movement, read_table
from tests.support.factories import delta


@pytest.mark.parametrize(
    ("before", "after", "n", "wanted"),
    [
        # Exactly -20 % is "-20 % or more".
        (10, 8, 20, Movement.DROPPED),
        (5, 4, 10, Movement.DROPPED),
        (15, 12, 30, Movement.DROPPED),
        (100, 80, 300, Movement.DROPPED),
        (45, 36, 70, Movement.DROPPED),
        (100, 81, 300, Movement.LITTLE),
        (4, 0, 5, Movement.DROPPED),
        # Exactly -5 % still counts as a move, less does not.
        (100, 95, 300, Movement.LITTLE),
        (20, 19, 40, Movement.LITTLE),
        (60, 57, 90, Movement.LITTLE),
        (100, 96, 300, Movement.UNCHANGED),
        (100, 100, 100, Movement.UNCHANGED),
        (100, 104, 300, Movement.UNCHANGED),
        # Exactly +5 % is worse.
        (100, 105, 300, Movement.WORSE),
        (20, 21, 40, Movement.WORSE),
        (60, 63, 90, Movement.WORSE),
        (1, 2, 9, Movement.WORSE),
        # Nothing missed before: nothing to relate to.
        (0, 0, 10, Movement.UNCHANGED),
        (0, 1, 10, Movement.WORSE),
    ],
)
def test_a_categorys_row_of_the_table(before: int, after: int, n: int, wanted: Movement) -> None:
    """The relative change of missed rows decides."""
    assert movement(delta(before, after, n)) is wanted


@pytest.mark.parametrize(
    ("before", "after", "verdict", "word"),
    [
        (50, 12, Verdict.KEEP, "Keep the .nemo"),
        (50, 45, Verdict.GROW, "signal density beats learning-rate sweeps"),
        (50, 60, Verdict.DISCARD, "Overfit on a small manifest"),
        (50, 50, Verdict.GROW, "already be in the base's vocabulary"),
    ],
)
def test_each_row_of_the_specifications_table(
    before: int, after: int, verdict: Verdict, word: str
) -> None:
    """Dropped: keep; a little: grow; worse: discard; unchanged: look, then grow."""
    read = read_table({"drug": delta(before, after, 100)}, ["drug"], "held-out")
    assert read.verdict is verdict
    assert word in read.action
    assert read.basis == "held-out"


@pytest.mark.parametrize(
    ("drug", "lab", "verdict"),
    [
        ((50, 10), (50, 10), Verdict.KEEP),
        ((50, 10), (50, 50), Verdict.KEEP),
        ((50, 10), (50, 46), Verdict.KEEP),
        ((50, 10), (50, 70), Verdict.GROW),
        ((50, 50), (50, 70), Verdict.DISCARD),
        ((50, 46), (50, 70), Verdict.DISCARD),
        ((50, 46), (50, 50), Verdict.GROW),
        ((0, 0), (0, 0), Verdict.GROW),
    ],
)
def test_the_table_over_several_priority_categories(
    drug: tuple[int, int], lab: tuple[int, int], verdict: Verdict
) -> None:
    """A drop is kept unless another category got worse; then the manifest must grow."""
    found = {"drug": delta(*drug, 100), "lab": delta(*lab, 100, "lab")}
    for order in (["drug", "lab"], ["lab", "drug"]):
        read = read_table(found, order, "held-out")
        assert read.verdict is verdict
        assert list(read.movements) == order
