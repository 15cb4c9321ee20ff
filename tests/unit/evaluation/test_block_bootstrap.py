"""The bootstrap over blocks, against kaldialign and SciPy."""

from __future__ import annotations

import math

import kaldialign
import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein
from scipy import stats

from tasks.evaluation import block_bootstrap
from tasks.evaluation.block_bootstrap import by_block, rate_difference, rate_interval
from tasks.evaluation.statistics import Interval

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
        sums = by_block(range(300), *edits(refs, found))
        ours = rate_interval(sums, resamples=10_000)
        assert ours is not None
        low, high = theirs[side]["ci95min"], theirs[side]["ci95max"]
        assert ours.as_list() == pytest.approx([low, high], abs=0.04 * (high - low))
        assert sums[0].sum() / sums[1].sum() == pytest.approx(theirs[side]["wer"], rel=0.01)


def test_the_bootstrap_of_a_mean_is_scipys() -> None:
    """Rows as blocks: SciPy's percentile interval, widened for 60 blocks as Hesterberg does."""
    values = np.random.default_rng(5).gamma(2, 0.1, 60)
    sums = by_block(range(60), list(values), [1.0] * 60)
    ours = rate_interval(sums, resamples=10_000)
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
    paired = rate_difference(by_block(range(200), *columns))
    assert paired is not None
    first, second = (rate_interval(by_block(range(200), *columns[i : i + 2])) for i in (0, 2))
    assert first is not None
    assert second is not None
    assert paired.high < 0
    assert paired.high - paired.low < (first.high - first.low) + (second.high - second.low)


def test_the_same_seed_gives_the_same_interval_whatever_is_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory is bounded by drawing in parts, and the parts make no difference."""
    sums = np.random.default_rng(1).random((2, 40))
    whole = rate_interval(sums)
    monkeypatch.setattr(block_bootstrap, "_WEIGHTS_AT_ONCE", 4000)
    assert rate_interval(sums) == whole
    assert rate_interval(sums, seed=1) != whole


def test_a_block_is_the_sum_of_its_rows() -> None:
    """Columns by blocks, in the order in which the blocks come."""
    sums = by_block(["b", "a", "b"], [1, 2, 3], [10, 20, 30])
    assert sums.tolist() == [[4, 2], [40, 20]]


def test_few_blocks_have_no_interval() -> None:
    """Four blocks cannot say how blocks differ."""
    assert rate_interval(np.ones((2, 4))) is None
    assert rate_interval(np.ones((2, 5))) == Interval(1.0, 1.0)
