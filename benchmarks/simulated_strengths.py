"""False keeps of a boosting strength that rows choose: other rows judge, or the same ones.

    python -m benchmarks.simulated_strengths [--runs N]

No strength helps: each moves some rows, and as many are fixed as broken, by chance. A stronger one
moves the rows of a weaker one and more. The strength with the lowest KER on the rows that choose is
judged by the finding that a keep needs, on rows that did not choose and, for comparison, on the
same rows.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from tasks.decision.boosting_choice import COARSE
from tasks.decision.significance import CategoryResult, classify_change
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.keyword_change import KeywordErrorChange

if TYPE_CHECKING:
    import numpy.typing as npt

    Bools = npt.NDArray[np.bool_]

_KER = 0.6
_MOVED = (0.04, 0.4)
"""The shares of rows that the weakest and the strongest move."""
_SELECTION = 25
_HELD_OUT = (20, 45, 100)


def draw_misses(rng: np.random.Generator, rows: int) -> tuple[Bools, Bools]:
    """Return which rows the base misses, and which each useless strength does: (strengths, rows).

    A moved row is missed by chance, as often as the base misses one.
    """
    base = rng.random(rows) < _KER
    order, anew = rng.random(rows), rng.random(rows) < _KER
    shares = np.linspace(*_MOVED, len(COARSE))
    moved = order[None, :] < shares[:, None]
    return base, np.where(moved, anew[None, :], base[None, :])


def is_kept(before: Bools, after: Bools) -> bool:
    """Return whether the finding is that of a keep; each row has a term of its own."""
    fixed, broken = int((before & ~after).sum()), int((after & ~before).sum())
    delta = KeywordErrorChange(
        "drug",
        Proportion(int(before.sum()), len(before)),
        Proportion(int(after.sum()), len(after)),
        fixed,
        broken,
        (1,) * fixed + (-1,) * broken,
    )
    p = 1.0 if delta.p is None else delta.p
    return classify_change(delta, p) is CategoryResult.IMPROVED


def simulate(runs: int, rows: int, seed: int = 19) -> tuple[float, float]:
    """Return the shares of false keeps: other rows judge, the same rows judge."""
    rng = np.random.default_rng([seed, rows])
    apart = same = 0
    for _ in range(runs):
        _, chooses = draw_misses(rng, _SELECTION)
        base, judged = draw_misses(rng, rows)
        apart += is_kept(base, judged[int(chooses.sum(axis=1).argmin())])
        same += is_kept(base, judged[int(judged.sum(axis=1).argmin())])
    return apart / runs, same / runs


def main() -> None:
    """Print a line for each number of rows that judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    runs = parser.parse_args().runs
    print("rows that judge   others choose   the same choose")
    for rows in _HELD_OUT:
        apart, same = simulate(runs, rows)
        print(f"{rows:>15}   {100 * apart:>12.1f}%   {100 * same:>14.1f}%")


if __name__ == "__main__":
    main()
