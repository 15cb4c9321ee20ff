"""Whole groups are taken and dealt so that each category comes near its target."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tasks.data.group_selection import deal_groups, take_groups

groups_of_rows = st.lists(
    st.dictionaries(st.sampled_from(["drug", "lab", "role"]), st.integers(1, 9), min_size=1),
    min_size=1,
    max_size=12,
)


def rows_of(groups: list[dict[str, int]], places: list[int]) -> Counter[str]:
    """Rows of each category in these groups."""
    return sum((Counter(groups[place]) for place in places), Counter[str]())


@given(groups_of_rows, st.integers(0, 20))
def test_a_group_is_taken_only_where_it_brings_the_rows_nearer(
    groups: list[dict[str, int]], target: int
) -> None:
    """No group twice, no category as a whole, and never further away than with nothing taken."""
    targets = dict.fromkeys(("drug", "lab", "role"), target)
    places = take_groups(groups, targets)
    assert len(set(places)) == len(places)
    everything = rows_of(groups, list(range(len(groups))))
    taken = rows_of(groups, places)
    assert all(taken[category] < rows for category, rows in everything.items())
    distance = sum((taken[category] - target) ** 2 for category in targets)
    assert distance <= len(targets) * target**2
    assert target or not places


def test_a_group_that_is_too_large_is_left_for_smaller_ones() -> None:
    """Ten rows are wanted: not the thirty that come first, but two groups of five."""
    groups = [{"drug": 30}, {"drug": 5}, {"drug": 5}, {"drug": 5}]
    assert take_groups(groups, {"drug": 10}) == [1, 2]


@given(groups_of_rows, st.integers(1, 5))
def test_every_group_is_dealt_once(groups: list[dict[str, int]], parts: int) -> None:
    """No part is empty where there are groups enough."""
    dealt = deal_groups(groups, parts)
    assert sorted(place for places in dealt for place in places) == list(range(len(groups)))
    assert len(groups) < parts or all(dealt)


def test_parts_are_alike_by_category() -> None:
    """Four groups of each kind make two parts with the same rows of each category."""
    groups = [{"drug": 4}, {"lab": 4}] * 4
    dealt = deal_groups(groups, 2)
    assert [rows_of(groups, places) for places in dealt] == [Counter(drug=8, lab=8)] * 2
