"""False-keep rate and power where judged rows are decoded several times, by simulation.

    python -m benchmarks.decision_by_shares [--studies N] [--correlation R] [--json FILE]

A row has a chance of its own that a decode misses its term, and its decodes under unheard variants
are draws of it. The correlation between two decodes of a row is the demo's (benchmarks of
unheard_variants; docs/log). Terms are of unequal difficulty, four rows each. A *useless* model
draws rows or terms anew, or changes nothing at all but the draws; a *gain* makes a share of the
rows good. Which rows judge is drawn anew in each study: a fifth, or with folds all.

Each study is read with one decode a row, by the rule for it, and with several, by theirs
(tasks/decision/significance.py). General English is taken as held.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special

from tasks.common import atomic_files
from tasks.decision.decision_table import Movement, movement
from tasks.decision.significance import p_of_harm, shown_to_fall, shown_to_rise
from tasks.evaluation import statistics
from tasks.evaluation.keyword_change import PairedOccurrence, summarise_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tasks.evaluation.keyword_change import KeywordErrorChange

STUDIES = 2000
CORRELATION = 0.7
"""Between two decodes of one row: the demo's tuned model 0.73, its mixture 0.69, its base 0.9."""
ROWS_PER_TERM = 4
DECODES = (1, 4, 8)
LIMIT = 0.05
SEED = 11
CATEGORIES = ("drug", "lab")
DESIGNS = ((100, 0.2), (200, 0.2), (500, 0.2), (100, 1.0))
"""Rows of the manifest, and the share that judges."""
BROKEN = 0.02

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """One cell of the table.

    Attributes:
        model: what the tuned model is.
        judged: rows that judge.
        folds: whether these are all rows, so that a term's four rows judge together.
        categories: priority categories, which share the rows.
        decodes: of each row and side.
        kept: studies in which the model is kept.
        studies: of all.
    """

    model: str
    judged: int
    folds: bool
    categories: int
    decodes: int
    kept: int
    studies: int

    @property
    def share(self) -> float:
        """The share of the studies in which it is kept."""
        return self.kept / self.studies

    @property
    def upper(self) -> float:
        """The one-sided 95 % upper limit of that (Clopper & Pearson)."""
        if self.kept == self.studies:
            return 1.0
        return float(special.betaincinv(self.kept + 1, self.studies - self.kept, 1 - LIMIT))


def draw_terms(rng: np.random.Generator, rows: int) -> Shares:
    """Draw each row's difficulty, which the rows of a term share."""
    return np.repeat(rng.random(rows // ROWS_PER_TERM), ROWS_PER_TERM)


def draw_rows(rng: np.random.Generator, difficulty: Shares, correlation: float) -> Shares:
    """Draw each row's own chance of a miss around its difficulty.

    Of difficulties from 0 to 1 the terms alone make a correlation of a third; the rows' own chances
    are drawn as far apart as the rest needs.
    """
    spread = 1.5 * correlation - 0.5
    weight = (1 - spread) / spread
    safe = np.clip(difficulty, 1e-6, 1 - 1e-6)
    chances: Shares = rng.beta(safe * weight, (1 - safe) * weight)
    return chances


def nothing(rng: np.random.Generator, _: Shares, before: Shares, __: float) -> Shares:  # noqa: ARG001
    """Simulate a useless model that hears every row as the base does."""
    return before


def row_by_row(
    rng: np.random.Generator, difficulty: Shares, _: Shares, correlation: float
) -> Shares:
    """Simulate a useless model: each row's chance is drawn anew, with its term's difficulty."""
    return draw_rows(rng, difficulty, correlation)


def term_by_term(
    rng: np.random.Generator, difficulty: Shares, before: Shares, correlation: float
) -> Shares:
    """Simulate a useless model: half of the terms get a new difficulty."""
    rows = len(difficulty)
    changed = np.repeat(rng.random(rows // ROWS_PER_TERM) < 0.5, ROWS_PER_TERM)  # noqa: PLR2004
    return np.where(changed, draw_rows(rng, draw_terms(rng, rows), correlation), before)


def gain(share: float) -> Callable[[np.random.Generator, Shares, Shares, float], Shares]:
    """Return a model whose misses are fewer by this share; one row in fifty is broken."""
    fixed = share + BROKEN

    def apply(rng: np.random.Generator, _: Shares, before: Shares, __: float) -> Shares:
        draw = rng.random(len(before))
        # The rows that break have half a miss already, on average: what they add is made good.
        after: Shares = np.where(draw < fixed, 0.0, np.where(draw < fixed + BROKEN, 1.0, before))
        return after

    return apply


MODELS = {
    "useless, nothing changed": nothing,
    "useless, row by row": row_by_row,
    "useless, term by term": term_by_term,
    "gain of 40 %": gain(0.4),
    "gain of 60 %": gain(0.6),
}


def cells(studies: int, correlation: float) -> Iterator[Cell]:
    """Simulate every model, design and number of categories, by one decode a row and by several."""
    for (name, model), (rows, share), categories in product(MODELS.items(), DESIGNS, (1, 2)):
        rng = np.random.default_rng([SEED, rows, round(share * 10), categories])
        kept = dict.fromkeys(DECODES, 0)
        for _ in range(studies):
            difficulty = draw_terms(rng, rows)
            before = draw_rows(rng, difficulty, correlation)
            after = model(rng, difficulty, before, correlation)
            judged = rng.permutation(rows)[: round(rows * share)]
            most = max(DECODES)
            missed = [
                rng.random((most, len(judged))) < chances[judged] for chances in (before, after)
            ]
            for decodes in DECODES:
                was, now = (one[:decodes].sum(0) for one in missed)
                kept[decodes] += keeps(judged, was, now, decodes, categories)
        for decodes in DECODES:
            judging = round(rows * share)
            yield Cell(name, judging, share == 1, categories, decodes, kept[decodes], studies)


def keeps(
    places: npt.NDArray[np.int64],
    before: npt.NDArray[np.int64],
    after: npt.NDArray[np.int64],
    decodes: int,
    categories: int,
) -> bool:
    """Return whether the product's rule keeps a model on these rows."""
    terms = places // ROWS_PER_TERM
    changes = {}
    for number, category in enumerate(CATEGORIES[:categories]):
        chosen = np.flatnonzero(terms % categories == number)
        changes[category] = summarise_changes(
            category, occurrences(terms, before, after, chosen, decodes)
        )
    return kept(changes)


def occurrences(
    terms: npt.NDArray[np.int64],
    before: npt.NDArray[np.int64],
    after: npt.NDArray[np.int64],
    chosen: npt.NDArray[np.int64],
    decodes: int,
) -> Sequence[PairedOccurrence]:
    """Return the rows at these places as the product pairs them.

    Args:
        terms: of each row.
        before: in how many decodes each row was missed.
        after: the same after.
        chosen: the places of the rows that are returned.
        decodes: of each row and side.
    """
    if decodes == 1:
        # Of one decode a miss is yes or no.
        return [
            PairedOccurrence(int(n), int(terms[n]), None, bool(before[n]), bool(after[n]))
            for n in chosen
        ]
    return [
        PairedOccurrence(int(n), int(terms[n]), None, int(before[n]), int(after[n]), decodes)
        for n in chosen
    ]


def kept(changes: dict[str, KeywordErrorChange]) -> bool:
    """Return whether the rule keeps, with general English held and no false keywords."""
    adjusted = statistics.holm({name: 1.0 if d.p is None else d.p for name, d in changes.items()})
    harm = statistics.holm({name: p_of_harm(delta) for name, delta in changes.items()})
    if any(shown_to_rise(delta, harm[name]) for name, delta in changes.items()):
        return False
    return any(
        shown_to_fall(delta, adjusted[name]) and movement(delta) is Movement.DROPPED
        for name, delta in changes.items()
    )


def main() -> None:
    """Print the table, and fail if the upper limit of a useless model's rate is over the limit."""
    parser = argparse.ArgumentParser(description="False keep and power by shares.")
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--correlation", type=float, default=CORRELATION)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    print(f"{'model':26} judged  categories " + " ".join(f"{n:>6} decodes" for n in DECODES))
    found: list[Cell] = []
    worst = 0.0
    for number, cell in enumerate(cells(asked.studies, asked.correlation), start=1):
        found.append(cell)
        if cell.model.startswith("useless") and cell.decodes > 1:
            worst = max(worst, cell.upper)
        if number % len(DECODES) == 0:
            line = " ".join(f"{one.share:.3f} ({one.upper:.3f})" for one in found[-len(DECODES) :])
            folds = " folds" if cell.folds else ""
            print(
                f"{cell.model:26} {cell.judged:4}{folds:6} {cell.categories:8}  {line}", flush=True
            )
    print(f"false keep: upper limit at most {worst:.3f} (limit {LIMIT})")
    if asked.json is not None:
        atomic_files.write_json(asked.json, [asdict(cell) for cell in found])
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
