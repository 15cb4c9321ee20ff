"""Gate policy, recipe and e-mail as Prefect blocks: their forms, and what a cycle makes of them."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pydantic
import pytest
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from pydantic import SecretStr

from asr_flywheel.site.register import BLOCKS
from blocks.email import EmailNotification
from blocks.policies import GateThresholds, TuningRecipe
from tasks.common.errors import InputError
from tasks.decision.gate_policy import GatePolicy
from tasks.training.recipes import Recipe, recipe


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
