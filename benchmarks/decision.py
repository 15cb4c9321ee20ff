"""False-keep rate and power of the decision, by simulation.

    python -m benchmarks.decision [--studies N]

Evaluations are drawn at random, with terms of unequal difficulty and four rows of each, as
manifests have them. A *useless* model changes rows without making them better: either row by row
(the same term is heard today and not tomorrow), or term by term (as many terms are forgotten as
learnt), where the rows of a term change together. A *gain* makes a share of the misses good.

Two designs: a fifth of the rows held out, as the specification splits, and cross-fitting, where
every row is scored by a model that has not seen it (``--folds``). Two rules on the same rows: ours
(tasks/decision/verdict.py) and the specification's bare table (tasks/decision/decision_table.py).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tasks.decision.decision_table import Verdict
from tasks.decision.guardrail import Guardrail
from tasks.decision.verdict import decide
from tasks.decision.verdict_rules import DecisionEvidence
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.keyword_change import KeywordErrorChange
from tasks.evaluation.statistics import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZES = (100, 200, 500)
ROWS_PER_TERM = 4
HELD_OUT = 0.2
STUDIES = 1000
LIMIT = 0.05
SEED = 5
CATEGORIES = ("drug", "lab")

Flags = npt.NDArray[np.bool_]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SimulatedRow:
    """One line of the table.

    Attributes:
        model: what the tuned model is.
        rows: of the manifest.
        design: held out, or cross-fitted.
        categories: priority categories, which share the rows.
        ours: share of studies in which our rule keeps the model.
        bare: the same of the bare table.
        settled: share of studies in which our rule says anything but inconclusive.
    """

    model: str
    rows: int
    design: str
    categories: int
    ours: float
    bare: float
    settled: float


def _draw_difficulties(rng: np.random.Generator, studies: int, rows: int) -> Shares:
    """Draw the chance of a miss before, shape (studies, rows); a term's rows share it."""
    by_term = rng.beta(1.0, 1.0, (studies, rows // ROWS_PER_TERM))
    return np.repeat(by_term, ROWS_PER_TERM, axis=1)


def row_by_row(rng: np.random.Generator, hard: Shares, before: Flags) -> Flags:
    """Simulate a useless model: each row is decoded anew, with the same chance of a miss."""
    assert hard.shape == before.shape  # noqa: S101 - a slip here would spoil every figure
    return rng.random(hard.shape) < hard


def term_by_term(rng: np.random.Generator, hard: Shares, before: Flags) -> Flags:
    """Simulate a useless model: half of the terms get a new difficulty of the same distribution."""
    studies, rows = hard.shape
    changed = np.repeat(rng.random((studies, rows // ROWS_PER_TERM)) < 0.5, ROWS_PER_TERM, axis=1)  # noqa: PLR2004
    other_chances = _draw_difficulties(rng, studies, rows)
    return np.where(changed, rng.random(hard.shape) < other_chances, before)


def gain(share: float) -> Callable[[np.random.Generator, Shares, Flags], Flags]:
    """Return a model that makes this share of the misses good, and breaks one row in fifty."""

    def apply(rng: np.random.Generator, hard: Shares, before: Flags) -> Flags:
        broken = 0.02
        # What is broken is made good elsewhere, so that the net drop is the share.
        fixed = share + broken * (1 - hard.mean()) / hard.mean()
        draw = rng.random(hard.shape)
        missed: Flags = np.where(before, draw >= fixed, draw < broken)
        return missed

    return apply


MODELS = {
    "useless, row by row": row_by_row,
    "useless, term by term": term_by_term,
    "gain of 20 %": gain(0.2),
    "gain of 40 %": gain(0.4),
    "gain of 60 %": gain(0.6),
}


def rows(studies: int = STUDIES, sizes: tuple[int, ...] = SIZES) -> Iterator[SimulatedRow]:
    """Simulate every model, size, design and number of categories."""
    for (name, model), size, (design, share), categories in product(
        MODELS.items(), sizes, (("held out", HELD_OUT), ("cross-fitted", 1.0)), (1, 2)
    ):
        rng = np.random.default_rng([SEED, size, categories])
        hard = _draw_difficulties(rng, studies, size)
        before = rng.random(hard.shape) < hard
        after = model(rng, hard, before)
        keeps = settled = bare = 0
        for was, now in zip(before, after, strict=True):
            # Which rows are held out is drawn anew in each study.
            judged = rng.permutation(size)[: round(size * share)]
            verdict, literal = _decide_both(was[judged], now[judged], judged, categories)
            keeps += verdict is Verdict.KEEP
            settled += verdict is not Verdict.INCONCLUSIVE
            bare += literal is Verdict.KEEP
        yield SimulatedRow(
            name, size, design, categories, keeps / studies, bare / studies, settled / studies
        )


def _decide_both(
    was: Flags, now: Flags, places: npt.NDArray[np.int64], categories: int
) -> tuple[Verdict, Verdict]:
    """Return our verdict and the bare one; a term belongs to one category."""
    terms = places // ROWS_PER_TERM
    changes = {
        category: keyword_error_change(
            category, was[in_category], now[in_category], terms[in_category]
        )
        for number, category in enumerate(CATEGORIES[:categories])
        if (in_category := terms % categories == number).any()
    }
    # What is simulated here are terms; general English has a guard of its own.
    held = Guardrail(600, 0.04, 0.04, 0.04, 0.04, Interval(0.0, 0.0), 0.005, 0.0, 0.01)
    decided = decide(DecisionEvidence(changes, "held-out", guardrail=held), list(changes))
    return decided.verdict, decided.bare.verdict


def keyword_error_change(
    category: str, was: Flags, now: Flags, terms: npt.NDArray[np.int64]
) -> KeywordErrorChange:
    """Return the change of KER of rows that were and are missed; rows of a term go together."""
    changed = was != now
    nets = np.bincount(terms[changed], weights=np.where(was, 1, -1)[changed])
    touched = np.bincount(terms[changed]) > 0
    return KeywordErrorChange(
        category,
        Proportion(int(was.sum()), len(was)),
        Proportion(int(now.sum()), len(now)),
        int((was & ~now).sum()),
        int((now & ~was).sum()),
        tuple(int(net) for net in nets[touched]),
    )


def main() -> None:
    """Print the table, and fail if a useless model is kept too often."""
    parser = argparse.ArgumentParser(description="False keep and power of the decision.")
    parser.add_argument("--studies", type=int, default=STUDIES)
    print("model                   rows        design categories   keep   bare  settled")
    worst = 0.0
    for row in rows(parser.parse_args().studies):
        print(
            f"{row.model:22} {row.rows:5} {row.design:>13} {row.categories:10} "
            f"{row.ours:6.3f} {row.bare:6.3f}  {row.settled:7.3f}",
            flush=True,
        )
        if row.model.startswith("useless"):
            worst = max(worst, row.ours)
    print(f"false keep at most {worst:.3f} (limit {LIMIT})")
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
