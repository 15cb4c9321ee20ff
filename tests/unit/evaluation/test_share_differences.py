"""Rows that were decoded several times: their test and interval."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation import share_differences, statistics
from tasks.evaluation.keyword_change import PairedOccurrence, summarise_changes
from tasks.evaluation.share_differences import ShareDifferences, sign_flip_p

counts = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=9)


def shares(
    before: list[int], after: list[int], decodes: int = 4, terms: list[str] | None = None
) -> ShareDifferences:
    """Rows of a term each, unless their terms are named."""
    rows = range(len(before))
    return ShareDifferences(decodes, tuple(before), tuple(after), tuple(terms or rows), tuple(rows))


@given(st.lists(st.integers(-5, 5), max_size=7))
def test_p_is_that_of_every_choice_of_signs(sums: list[int]) -> None:
    """Counted out: sums beyond the observed one, and half of those as far."""
    flipped = [
        abs(sum(sign * part for sign, part in zip(signs, sums, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    observed = abs(sum(sums))
    share = sum((one > observed) + (one == observed) / 2 for one in flipped) / len(flipped)
    assert sign_flip_p(sums) == pytest.approx(share if observed else 1.0)


@given(counts)
def test_shares_of_all_or_nothing_are_mcnemars(found: list[tuple[int, int]]) -> None:
    """Rows that every decode misses, or none: p, hits and counts are those of one decode."""
    flags = [(before > 2, after > 2) for before, after in found]
    of_one = summarise_changes(
        "drug", [PairedOccurrence(n, n, None, *pair) for n, pair in enumerate(flags)]
    )
    of_four = summarise_changes(
        "drug",
        [PairedOccurrence(n, n, None, 4 * b, 4 * a, 4) for n, (b, a) in enumerate(flags)],
    )
    assert of_four.shares is not None
    assert of_one.shares is None
    assert of_four.p == pytest.approx(of_one.p)
    assert (of_four.before, of_four.after) == (of_one.before, of_one.after)
    assert (of_four.fixed, of_four.broken) == (of_one.fixed, of_one.broken)
    assert of_four.shares.moments == (of_one.fixed, of_one.broken)


def test_a_row_counts_as_fixed_if_its_share_changes_by_half() -> None:
    """Two of four decodes more or fewer; one is not enough."""
    found = shares([4, 4, 4, 0, 0, 0], [2, 3, 0, 2, 1, 4])
    assert (found.fixed, found.broken) == (2, 2)
    assert found.hits == (3.0, 3.0)


def test_rows_of_a_term_are_flipped_together_where_enough_terms_changed() -> None:
    """Twenty rows of five terms are five draws; of four terms, too few for a test, the rows are."""
    before, after = [4] * 20, [0] * 20
    five = shares(before, after, terms=[f"t{n % 5}" for n in range(20)])
    assert five.over_terms
    assert five.p == pytest.approx(0.5**5)
    four = shares(before, after, terms=[f"t{n % 4}" for n in range(20)])
    assert not four.over_terms
    assert four.p == pytest.approx(0.5**20)


def test_terms_of_one_row_are_flipped_together_too() -> None:
    """Ten terms in two rows: the larger p-value counts, that over rows."""
    both = ShareDifferences(
        2, (2,) * 10, (0,) * 10, tuple(range(10)), tuple(n // 5 for n in range(10))
    )
    assert both.p == pytest.approx(0.5**2)
    assert both.inflation == pytest.approx(5.0)


def test_many_rows_are_drawn_with_a_seed() -> None:
    """The draws agree with the exact chance, and with themselves."""
    sums = [3, -1, 2, 2, 1, -2] * 20
    drawn = share_differences._drawn_p(sums)
    assert drawn == pytest.approx(sign_flip_p(sums), abs=0.005)
    assert drawn == share_differences._drawn_p(sums)
    many = [700, -300, 500] * 60
    assert 0 < sign_flip_p(many) < 0.001


def test_rows_without_a_change_do_not_exclude_one() -> None:
    """As Bonett and Price's, the interval of few unchanged rows is no point."""
    found = shares([4, 0] * 10, [4, 0] * 10)
    interval = found.interval
    assert interval is not None
    assert interval.low < -0.05 < 0.05 < interval.high
    assert shares([4], [0]).interval is None


def test_the_interval_is_shorter_for_shares_than_for_flips() -> None:
    """Half of the decodes of each row change, here or there: less noise than all of them."""
    halves = shares([2, 4] * 20, [0, 2] * 20).interval
    flips = statistics.paired_difference(20, 0, 40)
    assert halves is not None
    assert flips is not None
    assert halves.low <= -0.5 <= halves.high
    assert halves.high - halves.low < flips.high - flips.low


@pytest.mark.parametrize(
    ("before", "after", "terms"), [((5,), (0,), ("a",)), ((1,), (-1,), ("a",)), ((1,), (1,), ())]
)
def test_counts_that_cannot_be_are_refused(
    before: tuple[int, ...], after: tuple[int, ...], terms: tuple[str, ...]
) -> None:
    """More misses than decodes, fewer than none, or another number of rows."""
    with pytest.raises(ValueError, match=r"missed|same rows"):
        ShareDifferences(4, before, after, terms, terms)
