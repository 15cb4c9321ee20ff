"""The recipes: the specification's values, and what a user may change."""

from __future__ import annotations

import random

import pydantic
import pytest

from tasks.training.recipes import (
    Recipe,
    RecipeName,
    batch_for,
    least_memory_mib,
    padding_saved,
    recipe,
    worth_sorting,
)


def test_the_verified_recipe_has_the_specifications_values() -> None:
    """The hyperparameters of section 4d, one by one."""
    found = recipe("verified")
    assert found.precision == "bf16-mixed"
    assert found.lr == 3e-4
    assert found.warmup_steps == 5
    assert found.epochs == 3
    assert found.batch_size == 4
    assert found.gradient_clip_val == 1.0
    assert found.early_stopping_patience is None
    assert found.seed == 42


def test_the_conservative_recipe_only_lowers_the_learning_rate() -> None:
    """3e-5 instead of 3e-4, all else as verified."""
    found = recipe(RecipeName.CONSERVATIVE)
    assert found.lr == 3e-5
    assert found.model_copy(update={"lr": 3e-4, "name": RecipeName.VERIFIED}) == recipe("verified")


def test_the_production_recipe_stops_early_and_warms_up_by_the_data() -> None:
    """10 to 30 epochs, patience 3, warm-up left to the number of rows."""
    found = recipe("production")
    assert 10 <= found.epochs <= 30
    assert found.early_stopping_patience == 3
    assert found.warmup_steps is None
    assert (found.lr, found.batch_size, found.precision) == (3e-4, 4, "bf16-mixed")


def test_upper_layers_differs_from_verified_by_what_it_trains_and_for_how_long() -> None:
    """The lower four layers of nine stay, and ten of 24; five epochs pay for it."""
    found = recipe("upper-layers")
    assert [found.frozen_layers(layers) for layers in (9, 24, 2, 0)] == [4, 10, 0, 0]
    assert found.epochs == 5
    same = {"name": "verified", "epochs": 3, "frozen_share": 0.0}
    assert found.model_copy(update=same) == recipe("verified")


def test_distilled_is_upper_layers_with_fewer_of_them_and_the_bases_outputs() -> None:
    """The lower seven layers of nine stay, and eighteen of 24; half of the rate, eight epochs."""
    found = recipe("distilled")
    assert [found.frozen_layers(layers) for layers in (9, 24, 2)] == [7, 18, 1]
    assert found.distillation == 3.0
    same = {"name": "upper-layers", "frozen_share": 0.45, "distillation": 0.0}
    same |= {"lr": 3e-4, "epochs": 5}
    assert found.model_copy(update=same) == recipe("upper-layers")


def test_a_rate_under_the_schedules_end_is_refused_when_the_recipe_is_made() -> None:
    """NeMo would train through the warm-up first; the same rate throughout is one that it takes."""
    assert Recipe(lr=5e-6).min_lr == 5e-6
    with pytest.raises(pydantic.ValidationError, match="Fix: min_lr of at most 1e-06"):
        Recipe(lr=1e-6)


def test_each_recipe_knows_its_name() -> None:
    """The name in a record is the name that was asked for."""
    assert [recipe(name).name for name in RecipeName] == list(RecipeName)


@pytest.mark.parametrize(
    ("rows", "epochs", "batch", "accumulate", "steps"),
    [
        (40, 3, 4, 1, 5),  # 30 steps in all: at least 5
        (200, 20, 4, 1, 100),  # 1000 steps in all: a tenth
        (204, 20, 4, 1, 102),
        (2000, 20, 4, 2, 500),  # 5000 steps in all: just 500
        (100_000, 30, 4, 1, 500),  # never more
        (3, 20, 16, 1, 5),  # fewer rows than a batch
    ],
)
def test_open_warm_up_is_a_tenth_of_the_steps_between_5_and_500(
    rows: int, epochs: int, batch: int, accumulate: int, steps: int
) -> None:
    """A tiny manifest gets the verified 5, production scale 500."""
    found = Recipe(
        warmup_steps=None, epochs=epochs, batch_size=batch, accumulate_grad_batches=accumulate
    )
    assert found.warmup_for(rows) == steps


def test_a_stated_warm_up_is_kept() -> None:
    """Whatever the number of rows."""
    assert Recipe(warmup_steps=7).warmup_for(100_000) == 7
    assert Recipe(warmup_steps=0).warmup_for(100_000) == 0


def test_the_effective_batch_is_batch_times_accumulation() -> None:
    """Rows per optimiser step."""
    assert Recipe(batch_size=2, accumulate_grad_batches=3).effective_batch == 6


@pytest.mark.parametrize(
    "values",
    [
        {"lr": 0},
        {"lr": -1e-4},
        {"epochs": 0},
        {"batch_size": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"early_stopping_patience": 0},
        {"max_duration": 0},
        {"learning_rate": 1e-4},
    ],
)
def test_impossible_values_are_refused(values: dict[str, float]) -> None:
    """Out of bounds, or a name that does not exist."""
    with pytest.raises(pydantic.ValidationError):
        Recipe(**values)


def test_a_recipe_cannot_be_changed() -> None:
    """The shared recipes stay what they are."""
    with pytest.raises(pydantic.ValidationError):
        recipe("verified").lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("card", "memory_mib", "batch"),
    [
        ("no GPU", 0, 4),
        ("T4", 15_360, 4),
        ("A10G", 23_028, 4),
        ("A100 40 GB", 40_960, 4),
        ("L40S", 46_068, 16),
        ("A100 80 GB", 81_920, 32),
        ("H100", 81_559, 32),
    ],
)
def test_the_batch_fits_the_gpu(card: str, memory_mib: int, batch: int) -> None:
    """The specification's values for 16, 24 and 48 GB; the measured one for 80 GB."""
    assert batch_for(memory_mib, 2000) == batch, card


@pytest.mark.parametrize(
    ("rows", "gpus", "batch"),
    [(31, 1, 4), (127, 1, 8), (128, 1, 16), (255, 1, 16), (256, 1, 32), (256, 2, 16), (3, 1, 4)],
)
def test_a_small_set_keeps_its_steps(rows: int, gpus: int, batch: int) -> None:
    """A large batch on few rows would leave an epoch fewer than eight optimiser steps."""
    assert batch_for(81_559, rows, gpus) == batch


def test_the_least_memory_of_the_recommended_base() -> None:
    """617,825,926 parameters need 9,427 MiB before the first row; the measured peak was 12,330."""
    assert least_memory_mib(617_825_926) == 9_427


def test_padding_saved_is_what_sorting_spares() -> None:
    """Half short, half long rows: nearly every shuffled batch is padded to the long ones."""
    rows = [1.0, 9.0] * 500
    # Of 16 rows, any order pads all to 9 s; by length, all batches but one are of one kind.
    assert padding_saved(rows, 16) == pytest.approx(1 - 5 / 9, abs=0.02)
    assert padding_saved([4.0] * 100, 16) == 0
    assert padding_saved([1.0, 9.0], 1) == 0
    assert padding_saved([], 16) == 0


def test_batches_by_length_are_worth_it_from_fifty_batches_and_a_fifth_saved_on() -> None:
    """Whatever the order in which the manifest has the rows."""
    rows = [3.0 + place % 9 for place in range(200)]
    assert padding_saved(rows, 4) > 0.2
    assert worth_sorting(rows, 4)
    assert not worth_sorting(rows[:199], 4)
    alike = [3.0 + place % 9 / 3 for place in range(200)]
    assert 0.1 < padding_saved(alike, 4) < 0.2
    assert not worth_sorting(alike, 4)
    shuffled = random.Random(1).sample(rows, len(rows))  # noqa: S311 - any order
    assert padding_saved(shuffled, 4) == padding_saved(rows, 4)
