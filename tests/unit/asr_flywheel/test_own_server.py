"""The server that a run starts for itself, and what Prefect may tell of a clinic's machine."""

from __future__ import annotations

import os
from threading import Event

import pytest
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from asr_flywheel import cli
from asr_flywheel.run_server import start_server_in_background, without_heartbeat

MAKES = "prefect.client.orchestration.get_client"


def test_a_server_is_started_while_the_run_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is left only when it is up."""
    preparing, up = Event(), Event()

    def make(*, sync_client: bool) -> None:
        assert sync_client
        assert preparing.wait(10)
        up.set()

    monkeypatch.setattr(MAKES, make)
    with start_server_in_background():
        assert not up.is_set()
        preparing.set()
    assert up.is_set()


def test_a_server_that_does_not_start_is_told_when_the_run_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the block, as Prefect says it."""
    prepared = False

    def make(*, sync_client: bool) -> None:
        raise RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server.")

    monkeypatch.setattr(MAKES, make)
    with pytest.raises(RuntimeError, match="ephemeral"), start_server_in_background():
        prepared = True
    assert prepared


def test_what_ends_the_preparation_does_not_wait_for_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C ends it at once."""
    never = Event()
    monkeypatch.setattr(MAKES, lambda *, sync_client: never.wait(60))
    with pytest.raises(KeyboardInterrupt), start_server_in_background():
        raise KeyboardInterrupt
    assert not never.is_set()
    never.set()


@pytest.mark.parametrize("url", [None, "", "http://site.example:4200/api"])
def test_only_a_server_that_outlives_the_run_gets_its_heartbeat(url: str | None) -> None:
    """The automation of a site marks a run without one as crashed."""
    with temporary_settings(updates={PREFECT_API_URL: url}):
        before = get_current_settings().flows.heartbeat_frequency
        assert before is not None
        with without_heartbeat():
            beats = get_current_settings().flows.heartbeat_frequency
            assert beats == (before if url else None)
        assert get_current_settings().flows.heartbeat_frequency == before


def test_the_command_line_lets_prefect_call_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its server nor its client; who sets the variables decides otherwise."""
    monkeypatch.setattr(cli, "app", lambda: None)
    settings = {"DO_NOT_TRACK": "0"}
    monkeypatch.setattr(os, "environ", settings)
    cli.main()
    assert settings["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert settings.pop("DO_NOT_TRACK") == "0"
    cli.main()
    assert settings["DO_NOT_TRACK"] == "1"
