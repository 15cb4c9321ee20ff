"""Names, values and addresses as MLflow takes them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils import validation

from flows.config import CycleConfig
from tasks.common.errors import InputError
from tasks.records.tracking.tracking_names import (
    MOST_VALUE,
    as_number,
    server_name,
    shortened,
    tracking_name,
)


@given(st.lists(st.text(max_size=400), min_size=2, max_size=6, unique=True))
def test_every_name_is_one_that_mlflow_takes_and_two_stay_two(raw: list[str]) -> None:
    """By MLflow's own checks, for any text."""
    names = [tracking_name(one) for one in raw]
    for name in names:
        validation._validate_metric_name(name)  # type: ignore[no-untyped-call]
        assert len(name) <= validation.MAX_ENTITY_KEY_LENGTH
    assert len(set(names)) == len(raw)


@pytest.mark.parametrize(
    ("raw", "start"),
    [
        ("held-out/shipped/KER.drug", "held-out/shipped/KER.drug"),
        ("relative change %", "relative change percent_"),
        ("KER (all)", "KER _all__"),
        ("voice@ward", "voiceatward_"),
        ("−20 – −10", "_20 - _10_"),
        ("../etc", "etc_"),
        ("/abs//twice/", "abs/twice_"),
        ("", "__"),
    ],
)
def test_a_name_says_what_it_said(raw: str, start: str) -> None:
    """What MLflow refuses is spelled out; a name that it takes stays as it is."""
    name = tracking_name(raw)
    assert name == start if start == raw else name.startswith(start)


def test_what_mlflow_would_change_is_no_number() -> None:
    """MLflow stores inf as 1.797e308."""
    assert [as_number(one) for one in (1, 0.5, math.inf, -math.inf, math.nan, True, "1")] == [
        1.0, 0.5, None, None, None, None, None,
    ]  # fmt: skip


def test_a_long_value_says_that_it_was_cut() -> None:
    """MLflow refuses longer ones."""
    text = shortened("x" * 10_000)
    assert len(text) < validation.MAX_PARAM_VAL_LENGTH
    assert text.endswith("(10000 characters)")
    assert shortened("x" * MOST_VALUE) == "x" * MOST_VALUE


@pytest.mark.parametrize(
    "name",
    ["http://127.0.0.1:5000", "https://mlflow.ward.example/base/", "mlflow-tracking/ward", None],
)
def test_a_servers_address_or_block_is_taken(name: str | None) -> None:
    """By the parameters of a run; a slash at its end goes."""
    config = CycleConfig.model_validate({"cycle": "/srv/cycle1", "track": name})
    assert config.track == (name and name.rstrip("/"))


@pytest.mark.parametrize(
    "name",
    [
        "http://nurse:geheim@host:5000",
        "https://geheim@host",
        "https://host/?token=geheim",
        "https://host/#geheim",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(name: str) -> None:
    """They belong into the environment: the address is stored and shown."""
    with pytest.raises(InputError, match="MLFLOW_TRACKING_PASSWORD") as refused:
        server_name(name)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["", "mlruns", "sqlite:///mlflow.db", "file:///srv", "http://", "mlflow-tracking/"]
)
def test_what_is_no_server_is_refused_with_a_fix(name: str) -> None:
    """A folder or a database of one's own is served first."""
    with pytest.raises(InputError, match="mlflow server --backend-store-uri"):
        server_name(name)
