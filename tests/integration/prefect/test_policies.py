"""Gate policy and recipe as blocks that a site holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blocks.policies import GateThresholds, TuningRecipe
from flows.config import CycleConfig
from flows.resolve_parameters import full_recipe, gate_policy, make_runtime
from tasks.common.errors import InputError
from tasks.decision.gate_policy import GatePolicy
from tasks.training.recipes import Recipe
from tests.support import prefect_site

if TYPE_CHECKING:
    from asr_flywheel.site.local_site import Site


def test_a_cycle_names_saved_blocks(site: Site) -> None:
    """Their settings count; what the form says itself counts more."""
    with prefect_site.speaking_to(site):
        GateThresholds(tune_above=0.5, min_rows=40).save("strict")
        TuningRecipe(recipe=Recipe(name="wards", lr=1e-4, epochs=7)).save("wards")
        config = CycleConfig(
            cycle=Path("cycle1"),
            priority=("lab",),
            gate_policy_block="strict",
            recipe_block="wards",
            seed=7,
        )
        policy, chosen = gate_policy(config), full_recipe(config)
        short = full_recipe(config.model_copy(update={"epochs": 2}))
    assert policy == GatePolicy(priority=("lab",), tune_above=0.5, min_rows=40)
    assert (chosen.name, chosen.lr, chosen.epochs, chosen.seed) == ("wards", 1e-4, 7, 7)
    assert short.epochs == 2


@pytest.mark.parametrize("field", ["gate_policy_block", "recipe_block", "container_block"])
def test_an_unknown_block_is_named(site: Site, field: str) -> None:
    """With the parameter that names it."""
    config = CycleConfig(cycle=Path("cycle1"), runtime="container", **{field: "nobody"})
    with prefect_site.speaking_to(site), pytest.raises(InputError, match=f"{field}.*'nobody'"):
        gate_policy(config), full_recipe(config), make_runtime(config)
