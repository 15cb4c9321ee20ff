"""Models that harm some rows' terms, and models that do not: categories, voices, false keywords.

Studies of benchmarks/harm_error.py: each draws which decodes of which rows miss their term, as
benchmarks/decision_by_shares.py does, and asks the product's own check. Its correlation between two
decodes of a row is the demo's.

- a priority category: rows or terms change, and the whole is no worse; or rows are lost.
- voices and groups: the same. All voices may say the same terms, or each its own. A harmful model
  loses rows of one voice.
- false keywords: rows hold a term that nobody said with a chance of their own, around that of their
  term, which is drawn anew as the misses are. A harmful model writes all terms into some rows, and
  finds those rows' own terms so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks import decision_by_shares
from tasks.decision.group_check import FIELDS, compare_groups
from tasks.decision.significance import (
    classify_change,
    gained_by_false_keywords,
    p_of_harm,
    shown_to_rise,
)
from tasks.evaluation.keyword_change import summarise_changes
from tasks.evaluation.statistics import holm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.simulated_harm import Counts, Floats, Outcome
    from tasks.decision.group_check import GroupCheck
    from tasks.evaluation.keyword_change import KeywordErrorChange

_CHANGED_SHARE = 0.5
"""Of the terms, where a model changes term by term."""
TOGETHER = 2.0
"""How alike the terms' chances of a false keyword are: their beta distribution's size. With 2 some
terms are often mistaken for others, and most never."""


@dataclass(frozen=True, slots=True)
class DrawnRows:
    """The rows that judge in a study.

    Attributes:
        manifest: rows of the manifest.
        share: of them that judges; 1 with folds.
        categories: priority categories, which share the rows.
        decodes: of each row and side.
    """

    manifest: int
    share: float
    categories: int = 1
    decodes: int = 8

    def __str__(self) -> str:
        judged = round(self.manifest * self.share)
        folds = " of folds" if self.share == 1 else ""
        return f"{judged} rows{folds}, {self.categories} categories, {self.decodes} decodes"


# A priority category


def by_category(
    rng: np.random.Generator, model: str, rows: DrawnRows, *, lost: float = 0.0
) -> Outcome:
    """Draw rows that judge, of one category or of two, by a model that harms the first or none.

    Args:
        rng: of the draws.
        model: of benchmarks/decision_by_shares.py.
        rows: that judge.
        lost: share of the first category's rows whose term the tuned model always misses.
    """
    before, after, judged = _chances(rng, model, rows.manifest, rows.share)
    terms = judged // decision_by_shares.ROWS_PER_TERM
    spoilt = (terms % rows.categories == 0) & (rng.random(len(judged)) < lost)
    was, now = (
        (rng.random((rows.decodes, len(judged))) < chances).sum(axis=0)
        for chances in (before[judged], np.where(spoilt, 1.0, after[judged]))
    )
    changes = changes_of(terms, was, now, rows)
    p_harm = holm({name: p_of_harm(one) for name, one in changes.items()})
    harm = any(shown_to_rise(one, p_harm[name]) for name, one in changes.items())
    return harm, harm


def changes_of(
    terms: Counts, was: Counts, now: Counts, rows: DrawnRows
) -> dict[str, KeywordErrorChange]:
    """Return the product's change of each category; whole terms belong to one."""
    return {
        name: summarise_changes(
            name,
            decision_by_shares.occurrences(
                terms, was, now, np.flatnonzero(terms % rows.categories == number), rows.decodes
            ),
        )
        for number, name in enumerate(decision_by_shares.CATEGORIES[: rows.categories])
    }


def _chances(
    rng: np.random.Generator, model: str, manifest: int, share: float
) -> tuple[Floats, Floats, Counts]:
    """Draw each row's chance of a miss before and after, and which rows judge."""
    correlation = decision_by_shares.CORRELATION
    difficulty = decision_by_shares.draw_terms(rng, manifest)
    before = decision_by_shares.draw_rows(rng, difficulty, correlation)
    after = decision_by_shares.MODELS[model](rng, difficulty, before, correlation)
    return before, after, rng.permutation(manifest)[: round(manifest * share)]


# False keywords


def false_keywords(
    rng: np.random.Generator,
    model: str,
    rows: DrawnRows,
    rate: float,
    *,
    shouted: float = 0.0,
) -> Outcome:
    """Draw rows that judge, in which terms are found that nobody said.

    Args:
        rng: of the draws.
        model: of benchmarks/decision_by_shares.py; false keywords change as its misses do.
        rows: that judge.
        rate: of rows that hold a false keyword, by either model.
        shouted: share of rows into which the tuned model writes all terms.
    """
    before, after, judged = _chances(rng, model, rows.manifest, rows.share)
    false_before, false_after = false_chances(rng, model, rows.manifest, rate)
    shouts = rng.random(rows.manifest) < shouted
    missed = [
        rng.random((rows.decodes, len(judged))) < chances[judged]
        for chances in (before, np.where(shouts, 0.0, after))
    ]
    false = [
        rng.random((rows.decodes, len(judged))) < chances[judged]
        for chances in (false_before, np.where(shouts, 1.0, false_after))
    ]
    terms = judged // decision_by_shares.ROWS_PER_TERM

    def changes(
        was: npt.NDArray[np.bool_], now: npt.NDArray[np.bool_]
    ) -> dict[str, KeywordErrorChange]:
        return changes_of(terms, was.sum(axis=0), now.sum(axis=0), rows)

    rises = changes(*false)
    p_rise = holm({name: p_of_harm(one) for name, one in rises.items()})
    if not any(shown_to_rise(one, p_rise[name]) for name, one in rises.items()):
        # The rule asks for a rise first: most studies need no intervals.
        return False, False
    found = changes(*missed)
    adjusted = holm({name: 1.0 if one.p is None else one.p for name, one in found.items()})
    p_harm = holm({name: p_of_harm(one) for name, one in found.items()})
    as_misses = changes(*(one | other for one, other in zip(missed, false, strict=True)))
    harm = any(
        gained_by_false_keywords(
            classify_change(found[name], adjusted[name], p_harm=p_harm[name]),
            rise,
            as_misses[name],
            p_rise=p_rise[name],
        )
        for name, rise in rises.items()
    )
    return harm, harm


def false_chances(
    rng: np.random.Generator, model: str, manifest: int, rate: float
) -> tuple[Floats, Floats]:
    """Draw each row's chance of a false keyword before and after.

    Rows and terms change as the useless models of benchmarks/decision_by_shares.py change; by a
    model with a gain, as by the one that changes terms.
    """
    correlation = decision_by_shares.CORRELATION
    terms = manifest // decision_by_shares.ROWS_PER_TERM

    def draw_terms() -> Floats:
        size = TOGETHER
        return np.repeat(
            rng.beta(rate * size, (1 - rate) * size, terms), decision_by_shares.ROWS_PER_TERM
        )

    means = draw_terms()
    before = decision_by_shares.draw_rows(rng, means, correlation)
    if model == "useless, nothing changed":
        return before, before
    if model == "useless, row by row":
        return before, decision_by_shares.draw_rows(rng, means, correlation)
    changed = np.repeat(rng.random(terms) < _CHANGED_SHARE, decision_by_shares.ROWS_PER_TERM)
    anew = decision_by_shares.draw_rows(rng, draw_terms(), correlation)
    return before, np.where(changed, anew, before)


# KER by voice and group


def by_voice(
    rng: np.random.Generator,
    model: str,
    rows: int,
    voices: int,
    decodes: int,
    *,
    shared: bool,
    lost: float = 0.0,
) -> Outcome:
    """Draw rows that judge, of several voices and of two groups, by a model that harms one or none.

    Args:
        rng: of the draws.
        model: of benchmarks/decision_by_shares.py.
        rows: that judge.
        voices: that say them.
        decodes: of each row and side.
        shared: whether every voice says every term; else each has terms of its own.
        lost: share of the first voice's rows whose term the tuned model always misses.
    """
    before, after, judged = _chances(rng, model, 5 * rows, 0.2)
    terms = judged // decision_by_shares.ROWS_PER_TERM
    voice_of = rng.integers(0, voices, rows) if shared else terms % voices
    chances_after = np.where((voice_of == 0) & (rng.random(rows) < lost), 1.0, after[judged])
    was, now = (
        (rng.random((decodes, rows)) < chances).sum(axis=0)
        for chances in (before[judged], chances_after)
    )
    speakers = {
        "voice_id": voice_of,
        "group": rng.integers(0, 2, rows),
    }
    harm = judge_groups(terms, was, now, speakers, decodes).harm is not None
    return harm, harm


def judge_groups(
    terms: Counts, was: Counts, now: Counts, speakers: Mapping[str, Counts], decodes: int
) -> GroupCheck:
    """Return the product's check of rows of several voices and groups.

    Args:
        terms: of each row.
        was: in how many decodes each was missed before.
        now: the same after.
        speakers: by field, the value of each row.
        decodes: of each row and side.
    """
    return compare_groups(
        [
            (
                field,
                str(value),
                summarise_changes(
                    str(value),
                    decision_by_shares.occurrences(
                        terms, was, now, np.flatnonzero(speakers[field] == value), decodes
                    ),
                ),
            )
            for field in FIELDS
            for value in np.unique(speakers[field])
        ]
    )
