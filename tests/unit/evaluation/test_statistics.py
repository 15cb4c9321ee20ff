"""Intervals and tests, against scipy, statsmodels and kaldialign, and by simulation."""

from __future__ import annotations

import gc
import math

import kaldialign
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from tasks.evaluation import statistics
from tasks.evaluation.statistics import Interval
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
    assert statistics.rows_to_show_clustered([5, 5], 20, 0.05, 0.8) == 79
    assert statistics.rows_to_show_clustered([2, -2], 20, 0.05, 0.8) is None


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


WORDS = [
    "the",
    "patient",
    "takes",
    "ten",
    "milligrams",
    "of",
    "aspirin",
    "and",
    "sleeps",
    "well",
    "at",
    "night",
]


def spoken(rng: np.random.Generator, rows: int, wrong: float) -> tuple[list[list[str]], ...]:
    """References, and two models' hypotheses, of which the second is better."""
    refs = [list(rng.choice(WORDS, rng.integers(4, 16))) for _ in range(rows)]

    def heard(share: float) -> list[list[str]]:
        return [["x" if rng.random() < share else word for word in ref] for ref in refs]

    return refs, heard(wrong), heard(wrong / 2)


def edits(refs: list[list[str]], hyps: list[list[str]]) -> tuple[list[float], list[float]]:
    """Word edits and reference words of each row."""
    pairs = list(zip(refs, hyps, strict=True))
    return [Levenshtein.distance(*pair) for pair in pairs], [len(ref) for ref, _ in pairs]


def test_the_bootstrap_of_pooled_wer_is_kaldialigns() -> None:
    """Rows as blocks, 10,000 resamples each: the ends agree to 4 % of the interval's width."""
    refs, hyps, better = spoken(np.random.default_rng(3), 300, 0.3)
    theirs = kaldialign.bootstrap_wer_ci(refs, hyps, better, replications=10_000)
    for side, found in (("system1", hyps), ("system2", better)):
        sums = statistics.by_block(range(300), *edits(refs, found))
        ours = statistics.rate_interval(sums, resamples=10_000)
        assert ours is not None
        low, high = theirs[side]["ci95min"], theirs[side]["ci95max"]
        assert ours.as_list() == pytest.approx([low, high], abs=0.04 * (high - low))
        assert sums[0].sum() / sums[1].sum() == pytest.approx(theirs[side]["wer"], rel=0.01)


def test_the_bootstrap_of_a_mean_is_scipys() -> None:
    """Rows as blocks: SciPy's percentile interval, widened for 60 blocks as Hesterberg does."""
    values = np.random.default_rng(5).gamma(2, 0.1, 60)
    sums = statistics.by_block(range(60), list(values), [1.0] * 60)
    ours = statistics.rate_interval(sums, resamples=10_000)
    stretched = math.sqrt(60 / 59) * stats.t.ppf(0.975, 59)
    level = 1 - 2 * stats.norm.cdf(-stretched)
    theirs = stats.bootstrap(
        (values,), np.mean, confidence_level=level, method="percentile", n_resamples=10_000,
        rng=np.random.default_rng(6),
    ).confidence_interval  # fmt: skip
    assert ours is not None
    width = theirs.high - theirs.low
    assert ours.as_list() == pytest.approx([theirs.low, theirs.high], abs=0.04 * width)


def test_a_paired_difference_is_narrower_than_two_rates() -> None:
    """The same rows are drawn for both, so that what is common to them cancels."""
    refs, hyps, better = spoken(np.random.default_rng(4), 200, 0.3)
    columns = [*edits(refs, hyps), *edits(refs, better)]
    paired = statistics.rate_difference(statistics.by_block(range(200), *columns))
    assert paired is not None
    first, second = (
        statistics.rate_interval(statistics.by_block(range(200), *columns[i : i + 2]))
        for i in (0, 2)
    )
    assert first is not None
    assert second is not None
    assert paired.high < 0
    assert paired.high - paired.low < (first.high - first.low) + (second.high - second.low)


def test_the_same_seed_gives_the_same_interval_whatever_is_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory is bounded by drawing in parts, and the parts make no difference."""
    sums = np.random.default_rng(1).random((2, 40))
    whole = statistics.rate_interval(sums)
    monkeypatch.setattr(statistics, "_WEIGHTS_AT_ONCE", 4000)
    assert statistics.rate_interval(sums) == whole
    assert statistics.rate_interval(sums, seed=1) != whole


def test_a_block_is_the_sum_of_its_rows() -> None:
    """Columns by blocks, in the order in which the blocks come."""
    sums = statistics.by_block(["b", "a", "b"], [1, 2, 3], [10, 20, 30])
    assert sums.tolist() == [[4, 2], [40, 20]]


def test_few_blocks_have_no_interval() -> None:
    """Four blocks cannot say how blocks differ."""
    assert statistics.rate_interval(np.ones((2, 4))) is None
    assert statistics.rate_interval(np.ones((2, 5))) == Interval(1.0, 1.0)


def test_an_interval_has_its_ends_in_order() -> None:
    """And it says what it excludes."""
    with pytest.raises(ValueError, match="not an interval"):
        Interval(1.0, 0.0)
    assert Interval(0.1, 0.2).excludes(0.0)
    assert not Interval(0.1, 0.2).excludes(0.1)


# How many rows


@pytest.mark.parametrize(("fixed", "broken", "n"), [(0.3, 0.05, 40), (0.1, 0.1, 60), (0.2, 0, 25)])
def test_power_is_what_a_simulation_finds(fixed: float, broken: float, n: int) -> None:
    """20,000 studies, to one point."""
    rng = np.random.default_rng(8)
    found = rng.multinomial(n, [fixed, broken, 1 - fixed - broken], 20_000)
    shown = [
        down > up and statistics.mcnemar_mid_p(int(down), int(up)) < 0.05 for down, up, _ in found
    ]
    assert statistics.mcnemar_power(fixed, broken, n, 0.05) == pytest.approx(
        np.mean(shown), abs=0.01
    )


@pytest.mark.parametrize(
    ("fixed", "broken"), [(0.5, 0.05), (0.2, 0.05), (0.1, 0.05), (0.875, 0.125), (0.02, 0.0)]
)
def test_the_rows_that_are_named_have_the_power_and_fewer_do_not(
    fixed: float, broken: float
) -> None:
    """At these rates 80 % of such studies show it."""
    needed = statistics.rows_to_show(fixed, broken, 0.05, 0.8)
    assert needed is not None
    assert statistics.mcnemar_power(fixed, broken, needed, 0.05) >= 0.8
    assert statistics.mcnemar_power(fixed, broken, needed - 1, 0.05) < 0.8
    assert statistics.rows_to_show(broken, fixed, 0.05, 0.8) == needed


def test_large_studies_use_an_approximation_that_agrees() -> None:
    """Just under its bound, Connor's approximation is within 5 % of the exact number."""
    exact = statistics.rows_to_show(0.06, 0.045, 0.05, 0.8)
    assert exact is not None
    assert exact == pytest.approx(
        ((1.96 * math.sqrt(0.105) + 0.8416 * math.sqrt(0.105 - 0.015**2)) / 0.015) ** 2, rel=0.05
    )
    assert statistics.rows_to_show(0.1, 0.1, 0.05, 0.8) is None
    assert statistics.rows_to_show(0.1, 0.0999, 0.05, 0.8) is None


def test_rows_that_exclude_a_drop_exclude_it_as_often_as_they_promise() -> None:
    """Simulated: the interval's end is above the wanted drop in 77 to 87 % of the studies."""
    needed = statistics.rows_to_exclude(0.05, 0.05, 0.1, 0.8)
    assert needed is not None
    found = np.random.default_rng(9).multinomial(needed, [0.05, 0.05, 0.9], 5_000)
    intervals = [statistics.paired_difference(int(down), int(up), needed) for down, up, _ in found]
    share = np.mean([one is not None and one.low > -0.1 for one in intervals])
    assert 0.77 <= share <= 0.87
    assert statistics.rows_to_exclude(0.15, 0.05, 0.1, 0.8) is None


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
