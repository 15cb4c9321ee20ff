"""The rule by which a mixture is chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.decision import choice_rule, mixture_choice
from tasks.decision.choice_rule import ChoiceRule
from tasks.decision.mixture_choice import Candidate, choose, refine

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


def test_what_loses_too_much_by_the_curve_is_out() -> None:
    """However well it hears the terms: 0.7 points at 1 are 0.36 at 0.8, and 0.375 are allowed."""
    candidates = [candidate(0.0, 18, 30), candidate(0.4, 12, 30), candidate(0.8, 6, 34)]
    found = choose([*candidates, candidate(1.0, 2, 37)], LIMIT)
    assert (found.value, found.held) == (0.8, True)
    assert "+0.38 are allowed" in found.reason
    lossy = choose([*candidates, candidate(1.0, 2, 50)], LIMIT)
    assert (lossy.value, lossy.held) == (0.4, True)


def test_the_curve_smooths_what_one_candidates_sentences_say() -> None:
    """A rise of 0.6 points at 0.2 that nothing after it confirms is noise; the base may gain."""
    noisy = [candidate(0.0, 18, 30), candidate(0.2, 15, 36), candidate(0.6, 4, 31)]
    assert choose([*noisy, candidate(1.0, 3, 33)], LIMIT).value == 1.0
    better = mixture_choice.rise_curve(candidate(0.0, 18, 30), [candidate(1.0, 3, 20)])
    assert better == {1.0: 0.0}


def test_a_rise_that_is_sure_is_believed_against_the_curve() -> None:
    """Where English is lost at once and no further, the curve alone would be blind."""

    def spread(value: float, missed: int, wrong: int) -> Candidate:
        misses = tuple(float(place < missed) for place in range(20))
        return Candidate(value, misses, TERMS, tuple(int(n < wrong) for n in range(100)), WORDS)

    step = [spread(0.0, 18, 20), spread(0.2, 10, 32), spread(0.6, 9, 32), spread(1.0, 8, 32)]
    assert mixture_choice.rise_curve(step[0], step[1:])[0.2] < 0.75 * LIMIT
    assert choose(step, LIMIT).held is False


def test_where_none_holds_the_smallest_value_is_taken_and_told() -> None:
    """The choice says that it did not hold."""
    found = choose([candidate(0.0, 18, 30), candidate(0.9, 3, 60), candidate(1.0, 2, 70)], LIMIT)
    assert (found.value, found.held) == (0.9, False)
    assert "No mixture holds" in found.reason


def test_a_smaller_value_within_the_error_is_taken_where_that_is_the_rule() -> None:
    """By default it is not: measured, it gives away most of the gain."""
    close = [candidate(0.4, 9), candidate(0.8, 8)]
    assert choose(close, LIMIT).value == 0.8
    assert choose(close, LIMIT, ChoiceRule(standard_errors=1.0)).value == 0.4


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
    assert (found.value, found.chosen) == (choice_rule.RULE.stated, False)
    assert "drug 8" in found.reason


def test_a_distilled_model_is_taken_further() -> None:
    """By the value that is stated beforehand; what chooses, chooses as ever."""
    assert choice_rule.rule_of(0.0) is choice_rule.RULE
    further = choice_rule.rule_of(1.0)
    assert mixture_choice.stated_choice({"drug": 8}, further).value == 0.9
    assert replace(further, stated=choice_rule.RULE.stated) == choice_rule.RULE


def test_a_choice_is_told_whole() -> None:
    """With every candidate's figures, the rise over the base among them."""
    told = choose([candidate(0.0, 18, 30), candidate(0.4, 12, 32)], LIMIT).as_dict()
    assert [one["value"] for one in told["candidates"]] == [0.0, 0.4]  # type: ignore[attr-defined]
    assert told["candidates"][1]["general_rise"] == pytest.approx(0.002)  # type: ignore[index]


def test_a_choice_says_what_it_allowed_and_how_sure_its_figures_are() -> None:
    """Three quarters of the limit, intervals, and what the curve says; the base has no rise."""
    told = choose([candidate(0.0, 18, 30), candidate(0.4, 12, 32)], LIMIT).as_dict()
    assert told["allowed_rise"] == LIMIT * 3 / 4
    base, mixture = told["candidates"]  # type: ignore[misc]
    low, high = mixture["ker_ci"]  # type: ignore[has-type]
    assert 0.3 < low < 0.6 < high < 0.9
    assert base["general_rise_ci"] is None  # type: ignore[has-type]
    low, high = mixture["general_rise_ci"]  # type: ignore[has-type]
    assert low <= 0.002 <= high
    assert (base["holds"], mixture["holds"]) == (None, True)  # type: ignore[has-type]
    assert mixture["general_rise_by_curve"] == pytest.approx(0.002)  # type: ignore[has-type]
    assert "of these the lowest KER" in told["rule"]["text"]  # type: ignore[index]
    careful = str(ChoiceRule(standard_errors=1.0))
    assert "the smallest within 1 standard errors of the lowest KER" in careful
    found = choose([candidate(0.0, 18, 30), candidate(0.9, 3, 60)], LIMIT).as_dict()
    assert found["candidates"][1]["holds"] is False  # type: ignore[index]


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
    """And what is chosen holds by the curve, if anything does."""
    candidates = [candidate(0.0, 18, 30), *(candidate(*one) for one in drawn)]
    found = choose(candidates, LIMIT)
    assert found.value in {one[0] for one in drawn}
    assert choose(candidates[::-1], LIMIT).value == found.value
    curve = mixture_choice.rise_curve(candidates[0], candidates[1:])
    if found.held:
        assert curve[found.value] <= 0.75 * LIMIT + 1e-9
    elif found.value > min(curve):
        raise AssertionError("the smallest value is taken where none holds")
