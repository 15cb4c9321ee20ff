"""The rule by which a mixture is chosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.decision import mixture_choice
from tasks.decision.mixture_choice import Candidate, ChoiceRule, choose, refine

LIMIT = 0.005
TERMS = tuple(f"term {number}" for number in range(20))
WORDS = (10,) * 100


def candidate(value: float, missed: int, edits: int | None = None) -> Candidate:
    """Twenty rows of twenty terms, so many of them missed, and a thousand general words."""
    misses = tuple(float(place < missed) for place in range(20))
    if edits is None:
        return Candidate(value, misses, TERMS)
    return Candidate(value, misses, TERMS, (edits, *(0,) * 99), WORDS)


def test_the_lowest_figure_wins_where_everything_holds() -> None:
    """And of equal ones the smallest value."""
    found = choose([candidate(0.2, 15), candidate(0.6, 4), candidate(1.0, 4)], LIMIT)
    assert (found.value, found.chosen, found.held) == (0.6, True, None)


def test_what_loses_more_than_half_the_limit_is_out() -> None:
    """However well it hears the terms."""
    base = candidate(0.0, 18, 30)
    good = candidate(0.4, 12, 32)  # 0.2 points
    lossy = candidate(1.0, 2, 33)  # 0.3 points
    found = choose([base, good, lossy], LIMIT)
    assert (found.value, found.held) == (0.4, True)
    assert "+0.20 points" in found.reason


def test_where_none_holds_the_least_rise_is_taken_and_told() -> None:
    """The choice says that it did not hold."""
    found = choose([candidate(0.0, 18, 30), candidate(0.5, 3, 40), candidate(1.0, 2, 60)], LIMIT)
    assert (found.value, found.held) == (0.5, False)
    assert "No mixture holds" in found.reason


def test_a_value_within_the_error_of_the_lowest_is_preferred() -> None:
    """A row's difference is no reason to move further from the base."""
    found = choose([candidate(0.4, 9), candidate(0.8, 8)], LIMIT, ChoiceRule(standard_errors=1.0))
    assert found.value == 0.4


def test_rows_of_one_term_are_one_block() -> None:
    """Four rows of five terms that go together say less than twenty of their own."""
    misses = tuple(float(place < 8) for place in range(20))
    together = Candidate(0.5, misses, tuple(f"term {place // 4}" for place in range(20)))
    apart = Candidate(0.5, misses, TERMS)
    assert together.standard_error > 1.5 * apart.standard_error
    assert apart.standard_error == pytest.approx((0.4 * 0.6 / 19) ** 0.5)


def test_the_neighbours_of_the_best_are_tried_next() -> None:
    """Halfway to either side; at the end of the grid there is one side."""
    coarse = [candidate(0.2, 15), candidate(0.6, 4), candidate(1.0, 9)]
    assert refine(coarse, LIMIT, ChoiceRule(standard_errors=0.0)) == [0.4, 0.8]
    rising = [candidate(0.2, 15), candidate(1.0, 2)]
    assert refine(rising, LIMIT, ChoiceRule(standard_errors=0.0)) == [0.6]


def test_too_few_rows_choose_nothing() -> None:
    """The value that was stated beforehand is taken, and the counts are told."""
    assert mixture_choice.enough_rows({"drug": 20, "lab": 19}, ["drug"])
    assert not mixture_choice.enough_rows({"drug": 20, "lab": 19}, ["drug", "lab"])
    assert not mixture_choice.enough_rows({}, ["drug"])
    found = mixture_choice.stated_choice({"drug": 8})
    assert (found.value, found.chosen) == (mixture_choice.RULE.stated, False)
    assert "drug 8" in found.reason


def test_a_choice_is_told_whole() -> None:
    """With every candidate's figures, the rise over the base among them."""
    told = choose([candidate(0.0, 18, 30), candidate(0.4, 12, 32)], LIMIT).as_dict()
    assert [one["value"] for one in told["candidates"]] == [0.0, 0.4]  # type: ignore[attr-defined]
    assert told["candidates"][1]["general_rise"] == pytest.approx(0.002)  # type: ignore[index]


def test_a_choice_says_what_it_allowed_and_how_sure_its_figures_are() -> None:
    """Half the limit, and an interval around each figure; the base has no rise of its own."""
    told = choose([candidate(0.0, 18, 30), candidate(0.4, 12, 32)], LIMIT).as_dict()
    assert told["allowed_rise"] == LIMIT / 2
    base, mixture = told["candidates"]  # type: ignore[misc]
    low, high = mixture["ker_ci"]  # type: ignore[has-type]
    assert 0.3 < low < 0.6 < high < 0.9
    assert base["general_rise_ci"] is None  # type: ignore[has-type]
    low, high = mixture["general_rise_ci"]  # type: ignore[has-type]
    assert low <= 0.002 <= high
    assert "within 1 standard error of the lowest KER" in told["rule"]["text"]  # type: ignore[index]


def test_without_general_english_no_rise_was_allowed() -> None:
    """And none is told."""
    told = choose([candidate(0.4, 12)], LIMIT).as_dict()
    assert told["allowed_rise"] is None
    assert told["candidates"][0]["general_rise_ci"] is None  # type: ignore[index]


def test_without_rows_there_is_no_choice() -> None:
    """A caller that asks all the same has made a mistake."""
    with pytest.raises(ValueError, match="needs a candidate"):
        choose([Candidate(0.5, (), ())], LIMIT)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 20).map(lambda step: step / 20), st.integers(0, 20), st.integers(0, 60)
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda one: one[0],
    )
)
def test_the_choice_is_one_of_the_candidates_and_the_order_says_nothing(
    drawn: list[tuple[float, int, int]],
) -> None:
    """If anything held half the limit, so does the choice."""
    candidates = [candidate(0.0, 18, 30), *(candidate(*one) for one in drawn)]
    found = choose(candidates, LIMIT)
    assert found.value in {one[0] for one in drawn}
    assert choose(candidates[::-1], LIMIT).value == found.value
    rises = {value: (edits - 30) / 1000 for value, _, edits in drawn}
    if min(rises.values()) <= LIMIT / 2:
        assert rises[found.value] <= LIMIT / 2 + 1e-9
