"""The trainings that follow where no mixture holds."""

from __future__ import annotations

import pytest

from tasks.training import recipes, remedies
from tasks.training.recipes import Recipe, RecipeName
from tasks.training.remedies import RULE, Remedy, describe_attempts, further_trainings


def test_each_changes_one_thing_of_the_first_training() -> None:
    """Replay, then a lower learning rate, then fewer epochs; all else is the recipe's."""
    recipe = Recipe(epochs=7, batch_size=2)
    replay, slower, fewer = further_trainings(recipe, 80, 0, spare=100)
    assert (replay.remedy, replay.recipe, replay.replayed) == (Remedy.REPLAY, recipe, 20)
    conservative = recipes.recipe(RecipeName.CONSERVATIVE)
    changed = {"lr": conservative.lr, "name": conservative.name}
    assert slower.recipe == recipe.model_copy(update=changed)
    assert fewer.recipe == recipe.model_copy(update={"epochs": 3})
    assert (slower.replayed, fewer.replayed) == (0, 0)
    assert len([replay, slower, fewer]) == remedies.MOST


@pytest.mark.parametrize(
    ("recipe", "replayed", "spare", "left"),
    [
        (Recipe(), 0, 19, [Remedy.CONSERVATIVE, Remedy.FEWER_EPOCHS]),
        (Recipe(), 20, 100, [Remedy.CONSERVATIVE, Remedy.FEWER_EPOCHS]),
        (recipes.recipe(RecipeName.CONSERVATIVE), 0, 100, [Remedy.REPLAY, Remedy.FEWER_EPOCHS]),
        (Recipe(epochs=1), 0, 100, [Remedy.REPLAY, Remedy.CONSERVATIVE]),
    ],
    ids=["too few sentences", "replayed already", "low rate already", "one epoch already"],
)
def test_what_would_change_nothing_is_left_out(
    recipe: Recipe, replayed: int, spare: int, left: list[Remedy]
) -> None:
    """The others are still tried, in their order."""
    assert [one.remedy for one in further_trainings(recipe, 80, replayed, spare)] == left


@pytest.mark.parametrize("replayed", [0, 7, 20])
@pytest.mark.parametrize("rows", [46, 80, 1000])
def test_no_remedy_exceeds_the_budget(rows: int, replayed: int) -> None:
    """All its epochs together pass at most a quarter more rows than the first training's."""
    recipe = Recipe(epochs=4)
    found = further_trainings(recipe, rows, replayed, spare=1000)
    assert found[0].remedy is (Remedy.REPLAY if replayed < rows // 4 else Remedy.CONSERVATIVE)
    for further in found:
        passed = further.recipe.epochs * (rows + further.replayed)
        assert passed <= RULE.budget * recipe.epochs * (rows + replayed)


def test_attempts_are_told_in_sentences() -> None:
    """What was changed, how much was trained on, and what the rows that choose said."""
    first = {"remedy": None, "epochs": 3, "rows": 150, "replayed": 0, "held": False}
    second = {"remedy": "replay", "epochs": 1, "rows": 188, "replayed": 38, "held": True}
    assert describe_attempts([first, second]) == [
        "Training 1 (as asked for, 3 epochs, 150 rows): no mixture holds on the rows that choose.",
        "Training 2 (replay, one epoch, 188 rows, 38 of general English): a mixture holds on the rows that choose.",  # noqa: E501
    ]
    assert describe_attempts(()) == []
