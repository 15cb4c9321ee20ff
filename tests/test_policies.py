"""Gate policy, recipe and e-mail as Prefect blocks: their forms, and what a cycle makes of them."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic
import pytest
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from pydantic import SecretStr

from asr_flywheel.site.register import BLOCKS
from blocks.email import EmailNotification
from blocks.policies import GateThresholds, TuningRecipe
from flows import resolve
from flows.config import CycleConfig
from tasks.common.errors import InputError
from tasks.decision.gate import GatePolicy
from tasks.training.recipes import Recipe, recipe
from tests import receivers, sites

if TYPE_CHECKING:
    from asr_flywheel.site.local_site import Site


class TestStandards(BlockStandardTestSuite):
    """What Prefect asks of every block: documentation, an example, described fields."""

    @pytest.fixture(params=[GateThresholds, TuningRecipe, EmailNotification])
    def block(self, request: pytest.FixtureRequest) -> Any:
        """Each of them."""
        return request.param

    def test_has_a_valid_image(self, block: Any) -> None:
        """It has none: a logo is fetched from another host, and a clinic's site has no way out."""
        assert block._logo_url is None


@pytest.mark.parametrize("block", [*BLOCKS, Recipe])
def test_the_forms_explain_every_field(block: type[pydantic.BaseModel]) -> None:
    """Each field has a description."""
    for name, found in block.model_fields.items():
        assert found.description, name


def test_the_defaults_are_the_specifications() -> None:
    """An unchanged block changes nothing."""
    assert GateThresholds().policy(("drug",)) == GatePolicy()
    assert TuningRecipe().recipe == recipe("verified")


@pytest.mark.parametrize(("field", "value"), [("tune_above", 1.5), ("min_priority_rows", 1)])
def test_thresholds_have_bounds(field: str, value: float) -> None:
    """The form refuses them by name."""
    with pytest.raises(pydantic.ValidationError, match=field):
        GateThresholds(**{field: value})


def test_contradicting_thresholds_are_refused() -> None:
    """A cycle cannot be too easy and worth tuning at once."""
    with pytest.raises(InputError, match="contradict"):
        GateThresholds(tune_above=0.2, harden_below=0.3).policy(("drug",))


def test_a_recipes_name_cannot_leave_its_folder() -> None:
    """It becomes part of a run's folder."""
    with pytest.raises(pydantic.ValidationError, match="name"):
        Recipe(name="../up")


def test_a_cycle_names_saved_blocks(site: Site) -> None:
    """Their settings count; what the form says itself counts more."""
    with sites.speaking_to(site):
        GateThresholds(tune_above=0.5, min_rows=40).save("strict")
        TuningRecipe(recipe=Recipe(name="wards", lr=1e-4, epochs=7)).save("wards")
        config = CycleConfig(
            cycle=Path("cycle1"),
            priority=("lab",),
            gate_policy_block="strict",
            recipe_block="wards",
            seed=7,
        )
        policy, chosen = resolve.gate_policy(config), resolve.full_recipe(config)
        short = resolve.full_recipe(config.model_copy(update={"epochs": 2}))
    assert policy == GatePolicy(priority=("lab",), tune_above=0.5, min_rows=40)
    assert (chosen.name, chosen.lr, chosen.epochs, chosen.seed) == ("wards", 1e-4, 7, 7)
    assert short.epochs == 2


@pytest.mark.parametrize("field", ["gate_policy_block", "recipe_block", "container_block"])
def test_an_unknown_block_is_named(site: Site, field: str) -> None:
    """With the parameter that names it."""
    config = CycleConfig(cycle=Path("cycle1"), runtime="container", **{field: "nobody"})
    with sites.speaking_to(site), pytest.raises(InputError, match=f"{field}.*'nobody'"):
        resolve.gate_policy(config), resolve.full_recipe(config), resolve.make_runtime(config)


def test_an_e_mail_arrives() -> None:
    """Through a real SMTP server, with subject, sender, recipients and text."""
    with receivers.mailbox() as (port, got):
        block = EmailNotification(
            host="127.0.0.1",
            port=port,
            security="insecure",
            sender="flywheel@clinic.example",
            recipients=["asr@clinic.example", "ops@clinic.example"],
        )
        with block.raise_on_failure():
            block.notify("Cycle 3 failed: the store is full.", subject="ASR cycle")
    assert {message["to"] for message in got} == {"asr@clinic.example", "ops@clinic.example"}
    assert all("flywheel@clinic.example" in message["from"] for message in got)
    assert all(message["subject"] == "ASR cycle" for message in got)
    assert all("the store is full" in message.as_string() for message in got)


def test_the_password_is_kept_out_of_sight() -> None:
    """Neither the block's text nor its schema shows it."""
    block = EmailNotification(
        host="mail.example",
        user="me",
        password=SecretStr("planted-4711"),
        sender="a@b",
        recipients=["c@d"],
    )
    assert "planted-4711" not in repr(block) + str(block.model_dump())
    assert "password" in block._to_block_schema().fields["secret_fields"]


def test_prefects_server_can_find_the_e_mail_block() -> None:
    """Automations send from the server, which imports what the packages' entry points name."""
    (found,) = [
        one
        for one in metadata.entry_points(group="prefect.collections")
        if one.name == "clinical_asr_flywheel"
    ]
    assert found.load().EmailNotification is EmailNotification
