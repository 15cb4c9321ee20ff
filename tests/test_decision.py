"""The decision: every row of the specification's table, and its boundaries."""

from __future__ import annotations

import pytest

from tasks import routing
from tasks.decision import Movement, Verdict, decide, movement
from tasks.errors import InputError
from tests.samples import delta

BUILD = "/digital-health-clinical-asr-build"
SERVING = "/riva-asr-custom"


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
    ("before", "after", "verdict", "route", "word"),
    [
        (50, 12, Verdict.KEEP, SERVING, "Keep the .nemo"),
        (50, 45, Verdict.GROW, BUILD, "signal density beats learning-rate sweeps"),
        (50, 60, Verdict.DISCARD, BUILD, "Overfit on a small manifest"),
        (50, 50, Verdict.GROW, BUILD, "already be in the base's vocabulary"),
    ],
)
def test_each_row_of_the_specifications_table(
    before: int, after: int, verdict: Verdict, route: str, word: str
) -> None:
    """Dropped: keep; a little: grow; worse: discard; unchanged: look, then grow."""
    decided = decide({"drug": delta(before, after, 100)}, ["drug"], "held-out")
    assert decided.verdict is verdict
    assert decided.route == route
    assert any(word in reason for reason in decided.reasons)
    assert decided.basis == "held-out"
    assert f"{before / 100:.3f} → {after / 100:.3f}" in decided.reasons[0]


def test_scenario_c_a_ker_that_barely_moved_goes_back_to_build() -> None:
    """The specification's scenario C: grow the manifest; signal density beats LR sweeps."""
    decided = decide({"drug": delta(42, 40, 100)}, ["drug"], "held-out")
    assert decided.verdict is Verdict.GROW
    assert decided.route == routing.BUILD == BUILD


def test_the_reference_result_is_kept() -> None:
    """KER 0.513 to 0.128, as the specification reports, is a drop of 75 %."""
    decided = decide({"drug": delta(20, 5, 39)}, ["drug"], "all")
    assert decided.verdict is Verdict.KEEP
    assert "0.513 → 0.128" in decided.reasons[0]
    assert "-75% relative" in decided.reasons[0]


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
def test_several_priority_categories(
    drug: tuple[int, int], lab: tuple[int, int], verdict: Verdict
) -> None:
    """A drop is kept unless another category got worse; then the manifest must grow."""
    found = {"drug": delta(*drug, 100), "lab": delta(*lab, 100, "lab")}
    for order in (["drug", "lab"], ["lab", "drug"]):
        decided = decide(found, order, "held-out")
        assert decided.verdict is verdict
        assert list(decided.movements) == order


def test_other_categories_do_not_decide() -> None:
    """What was not targeted may get worse without a say."""
    found = {"drug": delta(50, 10, 100), "lab": delta(10, 90, 100, "lab")}
    assert decide(found, ["drug"], "held-out").verdict is Verdict.KEEP


@pytest.mark.parametrize("found", [{}, {"drug": delta(0, 0, 0)}])
def test_nothing_to_decide_on_is_bad_input(found: dict[str, object]) -> None:
    """No row of the category, or none with a term."""
    with pytest.raises(InputError, match="no held-out row of category 'drug'"):
        decide(found, ["drug"], "held-out")  # type: ignore[arg-type]


def test_what_decision_json_holds() -> None:
    """decision, movements, reasons, route and basis."""
    told = decide({"drug": delta(10, 8, 20)}, ["drug"], "held-out").as_dict()
    assert told["decision"] == "keep"
    assert told["movements"] == {"drug": "dropped meaningfully"}
    assert told["route"] == SERVING
    assert told["basis"] == "held-out"
    assert told["reasons"] == [
        (
            "drug KER dropped meaningfully: 0.500 → 0.400 "
            "(10 → 8 of 20 rows missed, -20% relative; 2 fixed, 0 broken)."
        ),
        "Keep the .nemo; to deploy it, hand it to /riva-asr-custom.",
    ]
