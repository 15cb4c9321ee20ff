"""How many rows are needed: by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.evaluation import statistics
from tasks.evaluation.study_size import mcnemar_power, rows_to_exclude, rows_to_show


@pytest.mark.parametrize(("fixed", "broken", "n"), [(0.3, 0.05, 40), (0.1, 0.1, 60), (0.2, 0, 25)])
def test_power_is_what_a_simulation_finds(fixed: float, broken: float, n: int) -> None:
    """20,000 studies, to one point."""
    rng = np.random.default_rng(8)
    found = rng.multinomial(n, [fixed, broken, 1 - fixed - broken], 20_000)
    shown = [
        down > up and statistics.mcnemar_mid_p(int(down), int(up)) < 0.05 for down, up, _ in found
    ]
    assert mcnemar_power(fixed, broken, n, 0.05) == pytest.approx(np.mean(shown), abs=0.01)


@pytest.mark.parametrize(
    ("fixed", "broken"), [(0.5, 0.05), (0.2, 0.05), (0.1, 0.05), (0.875, 0.125), (0.02, 0.0)]
)
def test_the_rows_that_are_named_have_the_power_and_fewer_do_not(
    fixed: float, broken: float
) -> None:
    """At these rates 80 % of such studies show it."""
    needed = rows_to_show(fixed, broken, 0.05, 0.8)
    assert needed is not None
    assert mcnemar_power(fixed, broken, needed, 0.05) >= 0.8
    assert mcnemar_power(fixed, broken, needed - 1, 0.05) < 0.8
    assert rows_to_show(broken, fixed, 0.05, 0.8) == needed


def test_large_studies_use_an_approximation_that_agrees() -> None:
    """Just under its bound, Connor's approximation is within 5 % of the exact number."""
    exact = rows_to_show(0.06, 0.045, 0.05, 0.8)
    assert exact is not None
    assert exact == pytest.approx(
        ((1.96 * math.sqrt(0.105) + 0.8416 * math.sqrt(0.105 - 0.015**2)) / 0.015) ** 2, rel=0.05
    )
    assert rows_to_show(0.1, 0.1, 0.05, 0.8) is None
    assert rows_to_show(0.1, 0.0999, 0.05, 0.8) is None


def test_rows_that_exclude_a_drop_exclude_it_as_often_as_they_promise() -> None:
    """Simulated: the interval's end is above the wanted drop in 77 to 87 % of the studies."""
    needed = rows_to_exclude(0.05, 0.05, 0.1, 0.8)
    assert needed is not None
    found = np.random.default_rng(9).multinomial(needed, [0.05, 0.05, 0.9], 5_000)
    intervals = [statistics.paired_difference(int(down), int(up), needed) for down, up, _ in found]
    share = np.mean([one is not None and one.low > -0.1 for one in intervals])
    assert 0.77 <= share <= 0.87
    assert rows_to_exclude(0.15, 0.05, 0.1, 0.8) is None
