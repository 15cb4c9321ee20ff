"""Simulate manifests, trainings of 20 epochs on them, and the mixtures of base and tuned model.

A manifest has four rows of each term, and terms of unequal difficulty. A *useless* model changes
rows without making the whole better:

- row by row: rows are decoded anew with the same chance of a miss, so many of them that 10 to 30 %
  change in a study;
- term by term: a quarter of each category's terms exchange their difficulties with another quarter,
  so that as much is lost as is gained on the manifest's own terms, and the rows of a term change
  together;
- term by term, terms held out: half of the terms get new difficulties of the same distribution,
  and no term stands on two sides of the split.

A *gain* corrects a share of the misses. Each epoch changes other rows or terms: the worst case for
a choice among epochs. Along the grid a row is first the base's, then in between, then the tuned
model's: it changes at most twice, and neighbouring mixtures write nearly the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.decision import ROWS_PER_TERM
from benchmarks.simulated_general import GeneralChange
from tasks.stages.choosing_rows import LEADS

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

EPOCHS = 20
SHARE = 0.2
"""Of each category's rows: held out, and again in selection.jsonl."""
FOLDS = 5
BROKEN = 0.02
"""Share of the rows without a miss that a gaining model breaks."""
NEW_DECODE = 0.25
"""Share of unheard variants that are decoded independently of the recording itself."""
UNCHANGED_TERMS = 0.5
DECODED_ANEW = (0.3, 0.9)
"""Share of rows that a model decodes anew, row by row; a third of them change by that."""


class ModelChange(StrEnum):
    """What a tuned model changes."""

    ROWS = "row by row"
    TERMS = "term by term"
    HELD_OUT_TERMS = "term by term, terms held out"
    GAIN = "gain"


NO_RISE = GeneralChange()


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """A tuned model.

    Attributes:
        name: in the table.
        change: of the rows.
        gain: share of misses that are corrected, net of what is broken; 0 for a useless model.
        general: its true rise on general English.
    """

    name: str
    change: ModelChange
    gain: float = 0.0
    general: GeneralChange = NO_RISE


@dataclass(frozen=True, slots=True)
class SimulatedManifest:
    """Manifests of many studies; the first axis of each array is the study.

    Attributes:
        difficulty: each term's chance of a miss by the base.
        missed: whether the base misses each row's term, in the recording itself.
        missed_share: the share of each row's variants in which the base misses it.
        decoded_anew: the share of each study's rows that a useless model decodes anew.
    """

    difficulty: Floats
    missed: Flags
    missed_share: Floats
    decoded_anew: Floats

    def take(self, studies: Places) -> SimulatedManifest:
        """Return the manifests of some studies."""
        return SimulatedManifest(
            self.difficulty[studies],
            self.missed[studies],
            self.missed_share[studies],
            self.decoded_anew[studies],
        )


@dataclass(frozen=True, slots=True)
class TermEffects:
    """What a training does to the terms; the last axis is the term.

    Attributes:
        chance: of a miss by the tuned model.
        changed: whether the term's rows change at all.
        start: the smallest value whose mixture may write the tuned model's rows.
    """

    chance: Floats
    changed: Flags
    start: Floats


@dataclass(frozen=True, slots=True)
class RowStates:
    """Rows of many studies as base, mixtures and tuned model write them.

    Attributes:
        missed: by the base, by mixtures in between and by the tuned model; shape (3, studies,
            rows), as flags or as shares of variants.
        first: the value from which a row is that of a mixture in between.
        second: the value from which it is the tuned model's.
    """

    missed: Floats
    first: Floats
    second: Floats

    def at(self, values: Floats) -> Floats:
        """Return the rows of the mixtures of these values, one of each study."""
        threshold = values[:, None]
        base, between, tuned = self.missed
        states: Floats = np.where(
            threshold < self.first, base, np.where(threshold < self.second, between, tuned)
        )
        return states


def draw_manifests(rng: np.random.Generator, studies: int, rows: int) -> SimulatedManifest:
    """Draw manifests, and the base's texts of them."""
    difficulty = rng.random((studies, rows // ROWS_PER_TERM))
    chance = np.repeat(difficulty, ROWS_PER_TERM, axis=1)
    missed = rng.random(chance.shape) < chance
    return SimulatedManifest(
        difficulty,
        missed,
        draw_variants(rng, missed, chance),
        rng.uniform(*DECODED_ANEW, studies),
    )


def draw_variants(
    rng: np.random.Generator, missed: Flags, chance: Floats, decodes: int = len(LEADS)
) -> Floats:
    """Return the share of each row's variants that are missed; the first is the row itself."""
    total = missed.astype(np.float64)
    for _ in range(decodes - 1):
        anew = rng.random(missed.shape) < NEW_DECODE
        total += np.where(anew, rng.random(missed.shape) < chance, missed)
    share: Floats = total / decodes
    return share


def rank_rows(
    rng: np.random.Generator, studies: int, rows: int, categories: int, *, by_term: bool
) -> list[Places]:
    """Rank each category's rows at random, as the split does by hashes; by whole terms if asked."""
    terms = np.arange(rows // ROWS_PER_TERM)
    within = np.arange(ROWS_PER_TERM)
    ranked = []
    for category in range(categories):
        own = np.tile(terms[terms % categories == category], (studies, 1))
        if by_term:
            own = rng.permuted(own, axis=1)
        places = (own[:, :, None] * ROWS_PER_TERM + within).reshape(studies, -1)
        ranked.append(places if by_term else rng.permuted(places, axis=1))
    return ranked


def split_ranked(ranked: Sequence[Places]) -> tuple[Places, Places]:
    """Return the rows that choose and those that judge: a fifth of each category each."""
    sizes = [int(SHARE * places.shape[1]) for places in ranked]
    return (
        np.hstack([places[:, n : 2 * n] for places, n in zip(ranked, sizes, strict=True)]),
        np.hstack([places[:, :n] for places, n in zip(ranked, sizes, strict=True)]),
    )


def deal_folds(ranked: Sequence[Places]) -> list[tuple[Places, Places]]:
    """Return each fold's rows that choose and that judge; all rows judge once."""
    folds = []
    for fold in range(FOLDS):
        choosing, judging = [], []
        for places in ranked:
            held_out = np.arange(places.shape[1]) % FOLDS == fold
            judging.append(places[:, held_out])
            choosing.append(places[:, ~held_out][:, : int(SHARE * places.shape[1])])
        folds.append((np.hstack(choosing), np.hstack(judging)))
    return folds


def draw_effects(
    rng: np.random.Generator,
    change: ModelChange,
    difficulty: Floats,
    categories: int,
    epochs: int = EPOCHS,
) -> TermEffects:
    """Draw what each epoch's model does to the terms, shape (studies, epochs, terms)."""
    studies, terms = difficulty.shape
    shape = (studies, epochs, terms)
    chance = np.broadcast_to(difficulty[:, None], shape)
    if change in (ModelChange.ROWS, ModelChange.GAIN):
        return TermEffects(
            chance, np.broadcast_to(np.True_, shape), np.broadcast_to(np.float64(0), shape)
        )
    if change is ModelChange.HELD_OUT_TERMS:
        changed = rng.random(shape) >= UNCHANGED_TERMS
        return TermEffects(np.where(changed, rng.random(shape), chance), changed, rng.random(shape))
    exchanged, start = chance.copy(), np.zeros(shape)
    changed = np.zeros(shape, dtype=np.bool_)
    for category in range(categories):
        own = np.arange(category, terms, categories)
        order = own[np.argsort(rng.random((studies, epochs, len(own))), axis=-1)]
        pairs = round(len(own) * (1 - UNCHANGED_TERMS) / 2)
        one, other = order[..., :pairs], order[..., pairs : 2 * pairs]
        # Both terms of a pair change at one value, so that no mixture is better on the whole.
        together = rng.random((studies, epochs, pairs))
        for to, source in ((one, other), (other, one)):
            np.put_along_axis(exchanged, to, np.take_along_axis(chance, source, -1), -1)
            np.put_along_axis(changed, to, np.True_, -1)
            np.put_along_axis(start, to, together, -1)
    return TermEffects(exchanged, changed, start)


def keep_epoch(effects: TermEffects, epochs: Places) -> TermEffects:
    """Return the effects of one epoch of each study, shape (studies, 1, terms)."""
    studies = np.arange(len(epochs))
    return TermEffects(
        effects.chance[studies, epochs][:, None],
        effects.changed[studies, epochs][:, None],
        effects.start[studies, epochs][:, None],
    )


def decode(
    rng: np.random.Generator,
    model: SimulatedModel,
    manifest: SimulatedManifest,
    effects: TermEffects,
    rows: Places,
) -> Flags:
    """Draw whether each epoch's model misses these rows, shape (studies, epochs, rows)."""
    before = np.take_along_axis(manifest.missed, rows, 1)[:, None]
    shape = (len(rows), effects.chance.shape[1], rows.shape[1])
    draw = rng.random(shape)
    if model.change is ModelChange.GAIN:
        missed: Flags = np.where(before, draw >= _corrected(model), draw < BROKEN)
        return missed
    terms = (rows // ROWS_PER_TERM)[:, None]
    changed = np.take_along_axis(effects.changed, terms, -1)
    if model.change is ModelChange.ROWS:
        changed = rng.random(shape) < manifest.decoded_anew[:, None, None]
    missed = np.where(changed, draw < np.take_along_axis(effects.chance, terms, -1), before)
    return missed  # noqa: RET504 - NumPy's typing needs the name


def _corrected(model: SimulatedModel) -> float:
    # Base and model miss and find equally many rows on average; what is broken is made good.
    return model.gain + BROKEN


def draw_states(
    rng: np.random.Generator,
    model: SimulatedModel,
    manifest: SimulatedManifest,
    kept: TermEffects,
    rows: Places,
    tuned: Flags,
) -> RowStates:
    """Draw the mixtures' texts of these rows.

    Args:
        rng: of the draws.
        model: the tuned model.
        manifest: its rows.
        kept: the effects of the checkpoint that was kept.
        rows: which.
        tuned: whether the tuned model misses them, shape (studies, rows).
    """
    before = np.take_along_axis(manifest.missed, rows, 1)
    between = decode(rng, model, manifest, kept, rows)[:, 0]
    start = np.take_along_axis(kept.start[:, 0], rows // ROWS_PER_TERM, 1)
    if model.change in (ModelChange.ROWS, ModelChange.GAIN):
        first, second = np.sort(rng.random((2, *rows.shape)), axis=0)
    else:
        first, second = start, start + (1 - start) * rng.random(rows.shape)
    return RowStates(np.stack([before, between, tuned]).astype(np.float64), first, second)


def hear_variants(
    rng: np.random.Generator,
    model: SimulatedModel,
    manifest: SimulatedManifest,
    kept: TermEffects,
    rows: Places,
    states: RowStates,
) -> RowStates:
    """Return the states with the share of variants in the place of the recording alone."""
    base = np.take_along_axis(manifest.missed_share, rows, 1)
    return _hear(rng, model, kept, rows, states, base, len(LEADS))


def hear_judged(
    rng: np.random.Generator,
    model: SimulatedModel,
    manifest: SimulatedManifest,
    kept: TermEffects,
    rows: Places,
    states: RowStates,
    decodes: int,
) -> RowStates:
    """Return the states of rows that judge, each decoded so often; the first decode is the row's.

    The base's further decodes are drawn here: those that chose have other shifts.
    """
    chance = np.take_along_axis(manifest.difficulty, rows // ROWS_PER_TERM, 1)
    base = draw_variants(rng, states.missed[0] > 0, chance, decodes)
    return _hear(rng, model, kept, rows, states, base, decodes)


def _hear(
    rng: np.random.Generator,
    model: SimulatedModel,
    kept: TermEffects,
    rows: Places,
    states: RowStates,
    base: Floats,
    decodes: int,
) -> RowStates:
    terms = rows // ROWS_PER_TERM
    chance = np.take_along_axis(kept.chance[:, 0], terms, 1)
    changed = np.take_along_axis(kept.changed[:, 0], terms, 1)
    if model.change is ModelChange.GAIN:
        chance = chance * (1 - _corrected(model)) + (1 - chance) * BROKEN
    tuned = (
        np.where(changed, draw_variants(rng, missed > 0, chance, decodes), base)
        for missed in states.missed[1:]
    )
    return RowStates(np.stack([base, *tuned]), states.first, states.second)
