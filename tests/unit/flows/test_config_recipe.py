"""What a run may change in its recipe: batch and precision, stated and never in silence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pydantic
import pytest

from flows import resolve_parameters
from flows.config import CycleConfig
from flows.rental.config import RentConfig
from flows.resolve_parameters import full_recipe, recipe_on
from tasks.common.errors import InputError
from tasks.runtimes.hardware import Gpu, Hardware
from tasks.training import recipes
from tasks.training.recipes import Precision, Recipe
from tests.support.hosts import CPU

H100 = Hardware((Gpu("NVIDIA H100 80GB HBM3", 81_559),), 16)
L4 = Hardware((Gpu("NVIDIA L4", 23_034),), 8)
TWO = Hardware((Gpu("NVIDIA L40S", 46_068), Gpu("NVIDIA L4", 23_034)), 16)


def config(**fields: Any) -> CycleConfig:
    """A run with these fields."""
    return CycleConfig(cycle=Path("cycle1"), **fields)


@pytest.mark.parametrize(
    ("asked", "hardware", "rows", "batch"),
    [
        (None, H100, 2000, 4),  # the specification's, until something else is asked for
        ("16", L4, 2000, 16),  # as the command line hands it over
        (3, CPU, 2000, 3),
        ("auto", CPU, 2000, 4),
        ("auto", L4, 2000, 4),
        ("auto", H100, 2000, 32),
        ("auto", H100, 80, 8),
        ("auto", TWO, 2000, 4),  # the smaller GPU bounds it
        ("auto", Hardware((Gpu("unknown"),), 4), 2000, 4),
    ],
)
def test_the_batch_is_the_recipes_unless_asked_for(
    asked: Any, hardware: Hardware, rows: int, batch: int
) -> None:
    """A number, or what GPU and rows make worth while; learning rate and epochs stay."""
    found = recipe_on(config(batch=asked), hardware, [3.0] * rows)
    assert found.batch_size == batch
    plain = full_recipe(config())
    assert found.model_copy(update={"batch_size": plain.batch_size}) == plain


def test_there_are_no_more_checkpoints_than_epochs() -> None:
    """A run's number counts instead of the recipe's; too many are refused with the fix."""
    assert full_recipe(config()).keep_checkpoints == 1
    assert full_recipe(config(keep_checkpoints=3)).keep_checkpoints == 3
    with pytest.raises(InputError, match=r"there are 2 epochs\. Fix: keep fewer"):
        full_recipe(config(keep_checkpoints=3, epochs=2))


def test_batches_by_length_only_where_auto_finds_them_worth_it() -> None:
    """Many rows of unlike length on a CPU; never in the recipe's own batch that nobody changed."""
    unlike = [2.0 + 13.0 * (place % 100) / 100 for place in range(400)]
    assert recipe_on(config(batch="auto"), CPU, unlike).by_length
    assert not recipe_on(config(batch="auto"), CPU, unlike[:196]).by_length  # 49 batches
    assert not recipe_on(config(batch="auto"), CPU, [15.0] * 400).by_length
    assert not recipe_on(config(batch="auto"), H100, unlike * 10).by_length
    assert not recipe_on(config(), CPU, unlike).by_length


def test_a_recipe_that_wants_batches_by_length_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where auto would not choose them."""
    wanted = Recipe(by_length=True)
    monkeypatch.setattr(resolve_parameters, "full_recipe", lambda _: wanted)
    assert recipe_on(config(batch="auto"), H100, [3.0] * 10).by_length
    assert recipe_on(config(), H100, [3.0] * 10).by_length


@pytest.mark.parametrize(
    ("compile_", "hardware", "rows", "parameters", "compiled"),
    [
        ("auto", H100, 20_000, 600_000_000, True),
        ("auto", H100, 200, 600_000_000, False),  # the smoke recipe on 200 rows
        ("auto", H100, 20_000, 6_000_000, False),
        ("auto", CPU, 20_000, 600_000_000, False),
        ("auto", TWO, 20_000, 600_000_000, False),
        ("on", H100, 200, 6_000_000, True),
        ("off", H100, 20_000, 600_000_000, False),
    ],
)
def test_layers_are_compiled_where_that_is_asked_for_or_pays(
    compile_: str, hardware: Hardware, rows: int, parameters: int, *, compiled: bool
) -> None:
    """With the fused optimiser, unless that is refused; nothing else of the recipe changes."""
    found = recipe_on(config(compile=compile_), hardware, [3.0] * rows, parameters)
    plain = recipe_on(config(compile="off"), hardware, [3.0] * rows, parameters)
    both = {"compiled": compiled, "fused_adamw": compiled}
    assert found == plain.model_copy(update=both)
    unfused = config(compile=compile_, fused_adamw=False)
    assert recipe_on(unfused, hardware, [3.0] * rows, parameters) == plain.model_copy(
        update={"compiled": compiled}
    )


def test_rows_of_unlike_length_must_pay_for_more_shapes() -> None:
    """Each shape of a batch is compiled."""
    base, recipe = 600_000_000, Recipe(batch_size=16, epochs=10)
    rows = 16 * 100  # 1,000 batches
    assert recipes.worth_compiling([15.0] * rows, recipe, base)
    assert not recipes.worth_compiling([3.0, *[15.0] * (rows - 1)], recipe, base)
    assert recipes.worth_compiling([3.0, *[15.0] * (2 * rows - 1)], recipe, base)


def test_a_recipe_that_wants_compiled_layers_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU; a CPU passes over it, and refuses what the run itself asks for."""
    monkeypatch.setattr(resolve_parameters, "full_recipe", lambda _: Recipe(compiled=True))
    assert recipe_on(config(), H100, [3.0] * 10).compiled
    assert not recipe_on(config(compile="off"), H100, [3.0] * 10).compiled
    assert not recipe_on(config(), CPU, [3.0] * 10).compiled
    with pytest.raises(InputError, match="compile on: there is no GPU here"):
        recipe_on(config(compile="on"), CPU, ())


def test_only_a_whole_encoder_is_compiled() -> None:
    """Where lower layers are not trained, auto never compiles, and asking for it is refused."""
    upper = config(recipe="upper-layers", epochs=1000)
    assert not recipe_on(upper, H100, [3.0] * 20_000, 600_000_000).compiled
    with pytest.raises(InputError, match="compile on: recipe 'upper-layers' leaves lower layers"):
        recipe_on(config(recipe="upper-layers", compile="on"), H100, [3.0] * 20_000)


def test_distillation_is_not_compiled_and_wants_general_sentences() -> None:
    """Nothing is left out in silence."""
    whole = Recipe(name="my-own", distillation=1.0, epochs=1000)
    assert not whole.compilable
    assert not recipes.worth_compiling([3.0] * 20_000, whole, 600_000_000)
    with pytest.raises(InputError, match="general none has no sentences"):
        full_recipe(config(recipe="distilled", general="none"))


@pytest.mark.parametrize("asked", ["0", 0, -4, "many", 4096])
def test_a_batch_that_is_none_is_refused(asked: Any) -> None:
    """When the run is asked for."""
    with pytest.raises(pydantic.ValidationError, match="batch"):
        config(batch=asked)


@pytest.mark.parametrize(
    ("asked", "lightning"),
    [(None, "bf16-mixed"), ("fp32", "32-true"), ("fp16-mixed", "16-mixed")],
)
def test_fp16_only_when_asked_for(asked: str | None, lightning: str) -> None:
    """By the specification's names."""
    assert recipe_on(config(precision=asked), H100, ()).precision.lightning == lightning


def test_a_cpu_has_fp32_alone() -> None:
    """What it lacks is refused if it was asked for; the recipe's own is passed over."""
    assert recipe_on(config(precision="fp32"), CPU, ()).precision is Precision.FP32
    assert recipe_on(config(), CPU, ()).precision is Precision.BF16
    with pytest.raises(InputError, match="there is no GPU here"):
        recipe_on(config(precision="fp16-mixed"), CPU, ())


@pytest.mark.parametrize(("asked", "here", "rented"), [(None, 1, 0), (0, 0, 0), (2, 2, 2)])
def test_a_host_that_is_paid_by_the_hour_trains_once(
    asked: int | None, here: int, rented: int
) -> None:
    """A remedy is tried by itself here only; what was asked for counts everywhere."""
    run = CycleConfig(cycle=Path("cycle1"), remedies=asked)
    assert (run.further_trainings, RentConfig(run=run).further_trainings) == (here, rented)
    with pytest.raises(pydantic.ValidationError):
        CycleConfig(cycle=Path("cycle1"), remedies=4)


def test_two_parts_choose_no_mixture() -> None:
    """Neither does a value that was asked for; then no sentence is set apart for a choice."""
    run = CycleConfig(cycle=Path("cycle1"))
    assert run.chooses_mixture
    assert not run.model_copy(update={"two_part": True}).chooses_mixture
    assert not run.model_copy(update={"interpolate": 0.5}).chooses_mixture


@pytest.mark.parametrize(
    ("given", "chooses"),
    [
        ({}, True),
        ({"interpolate": "off"}, False),
        ({"interpolate": "off", "boost": "auto"}, True),
        ({"interpolate": 0.5, "boost": 0.5}, True),
        ({"boost": "auto", "two_part": True}, False),
    ],
)
def test_general_english_limits_the_strength_of_boosting(
    given: dict[str, Any], *, chooses: bool
) -> None:
    """Also where no mixture is chosen: KER alone would choose a strength that does harm."""
    assert CycleConfig(cycle=Path("cycle1"), **given).chooses_by_general is chooses


@pytest.mark.parametrize(("share", "rows"), [(0.001, 100), (0.01, 30), (0.2, 2)])
def test_a_share_that_replays_nothing_is_refused(share: float, rows: int) -> None:
    """The training would be paid for without the replay; the share of the fix gives a sentence."""
    asked = config(replay_share=share)
    with pytest.raises(InputError, match=r"^replay_share .* no sentence") as refused:
        resolve_parameters.replayed_sentences(asked, rows)
    named = re.search(r"Fix: ([\d.]+) or more", str(refused.value))
    assert named is not None
    better = config(replay_share=float(named[1]))
    assert resolve_parameters.replayed_sentences(better, rows) == 1
    assert resolve_parameters.replayed_sentences(config(), rows) == 0
