"""The block of a tracking server: its form, and where its credentials go."""

from __future__ import annotations

import os
from typing import Any

import pytest
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from pydantic import SecretStr, ValidationError

from asr_flywheel.site.register import BLOCKS
from blocks.mlflow_tracking import MlflowTracking, open_target
from tasks.common.errors import InputError


class TestStandards(BlockStandardTestSuite):
    """What Prefect asks of every block."""

    @pytest.fixture
    def block(self) -> type[MlflowTracking]:
        """The class."""
        return MlflowTracking

    def test_has_a_valid_image(self, block: Any) -> None:
        """A logo would be another host's picture, called by each user's browser."""
        assert block._logo_url is None


def test_credentials_go_to_the_process_that_sends_and_nowhere_else() -> None:
    """By its environment; neither the run's own nor a printed target has them."""
    assert MlflowTracking in BLOCKS
    block = MlflowTracking(
        uri="https://mlflow.example/", username="ward", password=SecretStr("planted-0815")
    )
    target = block.target()
    environment = target.environment()
    assert target.uri == "https://mlflow.example"
    assert environment["MLFLOW_TRACKING_USERNAME"] == "ward"
    assert environment["MLFLOW_TRACKING_PASSWORD"] == "planted-0815"  # noqa: S105 - planted
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "MLFLOW_TRACKING_TOKEN" not in target.credentials
    assert "planted" not in f"{target!r}{block!r}{os.environ}"


def test_an_address_with_credentials_makes_no_block() -> None:
    """It would be stored as plain text."""
    with pytest.raises(ValidationError):
        MlflowTracking(uri="https://ward:planted@mlflow.example")


def test_a_client_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is spent."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install"):
        open_target("http://127.0.0.1:5000")
