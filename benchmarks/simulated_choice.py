"""Simulate the choice of what is shipped: epoch, mixture, and another training where none holds.

The product's own rule (tasks/decision/mixture_choice.py) chooses. What is simulated of models and
manifests is in benchmarks/simulated_training.py, and of general English in
benchmarks/simulated_general.py.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.decision import CATEGORIES, ROWS_PER_TERM
from benchmarks.simulated_general import GridEdits, draw_share, edits_along_grid
from benchmarks.simulated_training import (
    RowStates,
    SimulatedManifest,
    SimulatedModel,
    TermEffects,
    decode,
    draw_effects,
    draw_states,
    hear_variants,
    keep_epoch,
)
from tasks.decision import mixture_choice
from tasks.decision.choice_rule import RULE, ChoiceRule
from tasks.decision.guardrail import GuardrailPolicy
from tasks.decision.mixture_choice import Candidate, Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.simulated_training import Flags, Floats, Places

CHOOSING_SENTENCES = 150
POLICY = GuardrailPolicy()
# Words and edits are given to the rule in thousandths, so that a standard error is not rounded.
_SCALE = 1000


@dataclass(frozen=True)
class SimulatedChoice:
    """What is shipped in each study.

    Attributes:
        values: the tuned model's share of the weights.
        held: whether a mixture held on the choosing sentences.
        kept: the effects of the checkpoint that was kept.
    """

    values: Floats
    held: Flags
    kept: TermEffects


def reachable_values(rule: ChoiceRule = RULE) -> tuple[float, ...]:
    """Return the base's 0 and every value that the grid and its refinements can name."""
    values = [0.0, *rule.coarse]
    for _ in range(rule.refinements):
        between = [round((one + other) / 2, 4) for one, other in pairwise(values)]
        values = sorted({*values, *between})
    return tuple(values)


def choose_mixture(
    candidate_at: Callable[[float], Candidate], limit: float, rule: ChoiceRule = RULE
) -> Choice:
    """Choose as the product does (tasks/stages/choose.py): the grid, its refinements, the rule."""
    candidates = [candidate_at(value) for value in (0.0, *rule.coarse)]
    for _ in range(rule.refinements):
        values = mixture_choice.refine(candidates, limit, rule)
        if not values:
            break
        candidates += [candidate_at(value) for value in values]
    return mixture_choice.choose(candidates, limit, rule)


def general_figures(
    general: GridEdits, study: int, column: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return edits and words of two sentences that have a study's pooled rate and standard error.

    The rule looks at nothing else, and hundreds of sentences for each candidate would take long.
    """
    words = _SCALE * int(general.words[study])
    edits = _SCALE * int(general.edits[study, column])
    apart = round(float(general.errors[study, column]) * words / math.sqrt(2))
    return (edits // 2 + apart, edits - edits // 2 - apart), (words // 2, words - words // 2)


def choose_values(
    states: RowStates, rows: Places, general: GridEdits, rule: ChoiceRule
) -> tuple[Floats, Flags]:
    """Return each study's chosen value, and whether a mixture held."""
    grid = reachable_values(rule)
    columns = {value: column for column, value in enumerate(grid)}
    misses = np.stack([states.at(np.full(len(rows), value)) for value in grid], axis=1)
    values, held = np.empty(len(rows)), np.zeros(len(rows), dtype=np.bool_)
    terms_of = (rows // ROWS_PER_TERM).astype(str).tolist()
    for study, terms in enumerate(terms_of):
        base_wer = int(general.edits[study, 0]) / int(general.words[study])

        def candidate_at(
            value: float, study: int = study, terms: Sequence[str] = terms
        ) -> Candidate:
            column = columns[round(value, 4)]
            edits, words = general_figures(general, study, column)
            missed = tuple(misses[study, column].tolist())
            return Candidate(value, missed, tuple(terms), edits, words)

        choice = choose_mixture(candidate_at, POLICY.limit(base_wer), rule)
        values[study], held[study] = choice.value, bool(choice.held)
    return values, held


def train(
    rng: np.random.Generator,
    model: SimulatedModel,
    manifest: SimulatedManifest,
    rows: Places,
    categories: int,
) -> tuple[TermEffects, RowStates]:
    """Train 20 epochs and keep the one that misses fewest of these rows; return their states."""
    effects = draw_effects(rng, model.change, manifest.difficulty, categories)
    missed = decode(rng, model, manifest, effects, rows)
    best = missed.mean(axis=2).argmin(axis=1)
    kept = keep_epoch(effects, best)
    tuned = missed[np.arange(len(rows)), best]
    return kept, draw_states(rng, model, manifest, kept, rows, tuned)


def ship(
    rng: np.random.Generator,
    model: SimulatedModel,
    manifest: SimulatedManifest,
    rows: Places,
    categories: int,
    remedies: int,
    rule: ChoiceRule = RULE,
) -> SimulatedChoice:
    """Train and choose, and again while no mixture holds and the budget lasts.

    Args:
        rng: of the draws.
        model: what training makes.
        manifest: the studies' rows.
        rows: that choose.
        categories: priority categories.
        remedies: further trainings that are allowed.
        rule: the numbers of the choice.
    """
    studies = len(rows)
    share = draw_share(rng, studies, CHOOSING_SENTENCES)
    # The split is stratified, so that every study has the same counts.
    names, counts = np.unique((rows[0] // ROWS_PER_TERM) % categories, return_counts=True)
    found = {CATEGORIES[name]: int(count) for name, count in zip(names, counts, strict=True)}
    enough = mixture_choice.enough_rows(found, CATEGORIES[:categories], rule)
    values = np.full(studies, mixture_choice.stated_choice(found, rule).value)
    held = np.zeros(studies, dtype=np.bool_)
    shipped: TermEffects | None = None
    pending = np.arange(studies)
    for _ in range(1 + remedies):
        part = manifest.take(pending)
        kept, states = train(rng, model, part, rows[pending], categories)
        shipped = kept if shipped is None else _replace(shipped, pending, kept)
        if not enough:
            break
        heard = hear_variants(rng, model, part, kept, rows[pending], states)
        general = edits_along_grid(rng, model.general, share.take(pending), reachable_values(rule))
        values[pending], held[pending] = choose_values(heard, rows[pending], general, rule)
        pending = pending[~held[pending]]
        if not len(pending):
            break
    if shipped is None:
        raise ValueError("remedies cannot be negative")
    return SimulatedChoice(values, held, shipped)


def _replace(effects: TermEffects, studies: Places, newer: TermEffects) -> TermEffects:
    """Return effects with those of some studies replaced by a later training's."""
    arrays = []
    for field in dataclasses.fields(TermEffects):
        array = getattr(effects, field.name).copy()
        array[studies] = getattr(newer, field.name)
        arrays.append(array)
    return TermEffects(*arrays)
