"""Intervals and tests, against scipy, statsmodels and kaldialign, by simulation and by counting."""

from __future__ import annotations

import gc
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from tasks.evaluation import statistics
from tasks.evaluation.statistics import Interval
from tasks.evaluation.study_size import (
    rows_to_show_clustered,
)
from tests.support.statistics_cases import covered

counts = st.integers(0, 400)


@given(counts, counts)
def test_wilson_is_statsmodels(hits: int, more: int) -> None:
    """To 1e-12, and without rows there is no interval."""
    got = statistics.wilson(hits, hits + more)
    if hits + more == 0:
        assert got is None
        return
    assert got is not None
    low, high = proportion_confint(hits, hits + more, method="wilson")
    assert got.as_list() == pytest.approx([low, high], abs=1e-12)
    assert got.low <= hits / (hits + more) <= got.high


@given(counts, counts)
def test_mcnemar_mid_p_is_the_exact_p_less_half_of_the_observed_split(
    fixed: int, broken: int
) -> None:
    """Fagerland's definition by statsmodels' exact p and scipy's binomial, to 1e-10."""
    got = statistics.mcnemar_mid_p(fixed, broken)
    if fixed == broken:
        assert got == 1.0
        return
    exact = mcnemar([[0, fixed], [broken, 0]], exact=True).pvalue
    observed = stats.binom.pmf(fixed, fixed + broken, 0.5)
    assert got == pytest.approx(exact - observed, abs=1e-10)
    assert got == statistics.mcnemar_mid_p(broken, fixed)


@given(st.integers(1, 60), st.integers(0, 60))
def test_over_terms_of_one_row_the_test_is_mcnemars(fixed: int, broken: int) -> None:
    """Without the correction for continuity, as statsmodels has it."""
    got = statistics.clustered_p([1] * fixed + [-1] * broken)
    wanted = mcnemar([[0, fixed], [broken, 0]], exact=False, correction=False).pvalue
    assert got == pytest.approx(wanted, abs=1e-9)


def test_rows_that_flip_together_are_less_evidence() -> None:
    """Ten rows of two terms are two, not ten; and more terms would be needed to show it."""
    assert statistics.clustered_p([5, 5]) == pytest.approx(2 * stats.norm.sf(math.sqrt(2)))
    assert statistics.clustered_p([1] * 10) < 0.01
    assert statistics.clustered_p([2, -2]) == 1.0
    assert rows_to_show_clustered([5, 5], 20, 0.05, 0.8) == 79
    assert rows_to_show_clustered([2, -2], 20, 0.05, 0.8) is None


def test_five_one_sided_flips_are_the_least_that_is_shown() -> None:
    """Four give 0.0625, five 0.03125; a million rows are no harder."""
    assert statistics.mcnemar_mid_p(4, 0) == pytest.approx(0.0625)
    assert statistics.mcnemar_mid_p(5, 0) == pytest.approx(0.03125)
    large = statistics.mcnemar_mid_p(500_000, 502_000)
    assert large == pytest.approx(2 * stats.norm.sf(2000 / math.sqrt(1_002_000)), abs=1e-4)


@given(counts, counts, counts)
def test_bonett_and_prices_interval_follows_the_published_formula(
    fixed: int, broken: int, same: int
) -> None:
    """Laplace's adjustment of either discordant share, the normal's quantile from scipy."""
    n = fixed + broken + same
    got = statistics.paired_difference(fixed, broken, n)
    if n == 0:
        assert got is None
        return
    assert got is not None
    down, up = (fixed + 1) / (n + 2), (broken + 1) / (n + 2)
    half = stats.norm.ppf(0.975) * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    wanted = [max(-1.0, up - down - half), min(1.0, up - down + half)]
    assert got.as_list() == pytest.approx(wanted, abs=1e-12)
    assert got.low <= (broken - fixed) / n <= got.high


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 1000).map(lambda p: p / 1000), min_size=1, max_size=6))
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    """Adjusted together, each under its own name."""
    got = statistics.holm({str(place): p for place, p in enumerate(p_values)})
    gc.freeze()  # statsmodels collects garbage in every call: not all that pytest has loaded
    try:
        wanted = multipletests(p_values, method="holm")[1]
    finally:
        gc.unfreeze()
    assert list(got) == [str(place) for place in range(len(p_values))]
    assert list(got.values()) == pytest.approx(list(wanted), abs=1e-12)


def test_an_interval_has_its_ends_in_order() -> None:
    """And it says what it excludes."""
    with pytest.raises(ValueError, match="not an interval"):
        Interval(1.0, 0.0)
    assert Interval(0.1, 0.2).excludes(0.0)
    assert not Interval(0.1, 0.2).excludes(0.1)


def test_wilsons_interval_covers_the_share() -> None:
    """Averaged over shares, as it promises: 93 to 97 % at 20 to 500 rows."""
    rng = np.random.default_rng(10)
    for n in (20, 45, 100, 500):
        shares = rng.uniform(0.05, 0.95, 40)
        found = [
            covered(
                share, [statistics.wilson(int(hits), n) for hits in rng.binomial(n, share, 200)]
            )
            for share in shares
        ]
        assert 0.93 <= np.mean(found) <= 0.97


@pytest.mark.parametrize("n", [20, 50, 100, 200, 500])
def test_the_paired_interval_covers_the_difference(n: int) -> None:
    """With five changed rows to be expected or more: 93 to 98 %, and to 97 % from 50 rows on."""
    rng = np.random.default_rng(11)
    for fixed, broken in ((0.3, 0.05), (0.4, 0.1), (0.15, 0.15), (0.2, 0.1)):
        found = rng.multinomial(n, [fixed, broken, 1 - fixed - broken], 4_000)
        intervals = [statistics.paired_difference(int(down), int(up), n) for down, up, _ in found]
        assert 0.93 <= covered(broken - fixed, intervals) <= (0.98 if n == 20 else 0.97)


@pytest.mark.parametrize("nets", [[2, 1, -1, 3, 2, 2], [2] * 5, [3, -1, 1, 2, -2], [1, 1, 1, -1]])
def test_the_sign_flip_test_is_exact(nets: list[int]) -> None:
    """All flips are counted, and half of those that are as far."""
    flips = [
        abs(sum(sign * net for sign, net in zip(signs, nets, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(nets))
    ]
    total = abs(sum(nets))
    expected = sum((flip > total) + (flip == total) / 2 for flip in flips) / len(flips)
    assert statistics.sign_flip_mid_p(nets) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("fixed", "broken"), [(5, 0), (8, 1), (3, 3), (0, 7), (40, 22)])
def test_the_sign_flip_test_of_single_terms_is_mcnemars(fixed: int, broken: int) -> None:
    """Also for the last row that is counted exactly, and beyond."""
    nets = [1] * fixed + [-1] * broken
    assert statistics.sign_flip_mid_p(nets) == pytest.approx(
        statistics.mcnemar_mid_p(fixed, broken), abs=1e-12
    )
    assert statistics.sign_flip_mid_p([2] * fixed + [-2] * broken) == pytest.approx(
        statistics.sign_flip_mid_p(nets)
    )
    large = [1] * (1100 + fixed) + [-1] * (1000 + broken)
    assert statistics.sign_flip_mid_p(large) == pytest.approx(
        statistics.mcnemar_mid_p(1100 + fixed, 1000 + broken), rel=0.02
    )
