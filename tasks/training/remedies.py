"""The trainings that follow where no mixture of base and tuned model holds general English.

The rows that choose say so; no row that judges has been decoded by then. Each remedy is another
training from the base, with one thing changed against the loss of general English, and each stays
within a budget that is stated beforehand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.training import recipes
from tasks.training.recipes import RecipeName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from tasks.training.recipes import Recipe

MOST = 3
"""There are no more remedies than these."""


class Remedy(StrEnum):
    """What is changed, in the order in which it is tried."""

    REPLAY = "replay"
    CONSERVATIVE = "conservative recipe"
    FEWER_EPOCHS = "fewer epochs"


@dataclass(frozen=True, slots=True)
class RemedyRule:
    """The numbers of the remedies, which stand before any training.

    Attributes:
        replay_share: general sentences among the rows that replay trains on.
        epochs: share of the recipe's epochs that fewer epochs are, rounded down.
        budget: the most rows that a remedy may pass, all epochs together, as a share of those that
            the first training passes.
    """

    replay_share: float = 0.2
    epochs: float = 0.5
    budget: float = 1.25


RULE = RemedyRule()


@dataclass(frozen=True, slots=True)
class FurtherTraining:
    """A training that is tried next.

    Attributes:
        remedy: what it changes.
        recipe: its hyperparameters.
        replayed: general sentences among its rows, those of the first training included.
    """

    remedy: Remedy
    recipe: Recipe
    replayed: int


def further_trainings(
    recipe: Recipe, rows: int, replayed: int, spare: int, rule: RemedyRule = RULE
) -> list[FurtherTraining]:
    """List the trainings that may follow the first, in their order; what changes nothing is out.

    Args:
        recipe: of the first training.
        rows: of the cycle that are trained on.
        replayed: general sentences that the first training had besides.
        spare: general sentences that could be replayed besides these.
        rule: the numbers.
    """
    found = []
    # Rounded down, so that it stays within a budget of so many rows.
    wanted = math.floor(rows * rule.replay_share / (1 - rule.replay_share) + 1e-9)
    if replayed < wanted <= replayed + spare:
        found.append(FurtherTraining(Remedy.REPLAY, recipe, wanted))
    conservative = recipes.recipe(RecipeName.CONSERVATIVE)
    if recipe.lr > conservative.lr:
        slower = {"lr": conservative.lr, "name": conservative.name}
        slower["min_lr"] = min(recipe.min_lr, conservative.lr)
        changed = recipe.model_copy(update=slower)
        found.append(FurtherTraining(Remedy.CONSERVATIVE, changed, replayed))
    if (epochs := int(recipe.epochs * rule.epochs)) >= 1:
        fewer = recipe.model_copy(update={"epochs": epochs})
        found.append(FurtherTraining(Remedy.FEWER_EPOCHS, fewer, replayed))
    most = rule.budget * recipe.epochs * (rows + replayed)
    return [one for one in found if one.recipe.epochs * (rows + one.replayed) <= most]


def describe_attempts(attempts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each training that was tried, as decision.json holds them.

    Args:
        attempts: in their order; none where the first training was the only one.
    """
    told = []
    for number, attempt in enumerate(attempts, start=1):
        replayed = f", {attempt['replayed']} of general English" if attempt["replayed"] else ""
        epochs = "one epoch" if attempt["epochs"] == 1 else f"{attempt['epochs']} epochs"
        outcome = "a mixture holds" if attempt["held"] else "no mixture holds"
        told.append(
            f"Training {number} ({attempt['remedy'] or 'as asked for'}, {epochs}, "
            f"{counted(attempt['rows'], 'row')}{replayed}): {outcome} on the rows that choose."
        )
    return told
