"""Deployments: what the form in the UI is made of, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from flows.config import CycleConfig

ROOT = Path(__file__).parents[3]


def deployments() -> list[dict[str, Any]]:
    """The deployments of deployments/prefect.yaml."""
    found = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
    assert isinstance(found, list)
    return found


def test_every_entrypoint_is_a_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renamed flow would otherwise show only when a worker takes a run."""
    monkeypatch.chdir(ROOT)
    for deployment in deployments():
        # A path would be looked for in a run's own folder, which holds nothing.
        assert "/" not in deployment["entrypoint"]
        assert load_flow_from_entrypoint(deployment["entrypoint"]).name == deployment["name"]


def test_schedules_are_off_until_somebody_switches_them_on() -> None:
    """A new site must not start to spend by itself."""
    for deployment in deployments():
        assert all(schedule["active"] is False for schedule in deployment["schedules"])


def test_the_form_explains_every_field() -> None:
    """Each field of each deployment's form has a title and a description."""
    for deployment in deployments():
        schema = parameter_schema(load_flow_from_entrypoint(deployment["entrypoint"]))
        for model in schema.definitions.values():
            for name, field in model.get("properties", {}).items():
                assert field.get("title") or field.get("$ref"), name
                assert field.get("description"), name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("priority", ["drugs"]),
        ("priority", []),
        ("recipe", "best"),
        ("validation_fraction", 1.0),
        ("seed", -1),
        ("container", {"gpus": "two"}),
        ("container", {"gpus": "0, 1"}),
        ("container", {"image": "two words"}),
        ("container", {"memory": 4}),
        ("runtime", "cloud"),
        ("learning_rate", 1e-3),
    ],
)
def test_bad_parameters_are_refused_by_name(field: str, value: object) -> None:
    """Bounds, vocabularies and unknown fields."""
    with pytest.raises(pydantic.ValidationError) as refused:
        CycleConfig.model_validate({"cycle": "/cycles/cycle1", field: value})
    assert refused.value.errors()[0]["loc"][0] == field
