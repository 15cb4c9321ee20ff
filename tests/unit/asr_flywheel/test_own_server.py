"""The server that a run starts for itself, and what Prefect may tell of a clinic's machine."""

from __future__ import annotations

import os
from threading import Event

import pytest
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from asr_flywheel import cli
from asr_flywheel.run_server import (
    PATIENCE_S,
    TIMEOUT_SETTING,
    server_answers,
    start_server_in_background,
    without_heartbeat,
)
from tasks.common.errors import FlywheelError

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


class Ended:
    """A server's process that has ended."""

    def __init__(self, code: int | None) -> None:
        self.code = code

    def poll(self) -> int | None:
        """Return its exit code."""
        return self.code


# PrefectHQ/prefect#16397: a busy host needs more than twenty seconds.


def test_a_slow_server_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line waits for minutes, where the user has not said how long."""
    monkeypatch.setattr(cli, "app", lambda: None)
    settings: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", settings)
    cli.main()
    assert settings[TIMEOUT_SETTING] == str(PATIENCE_S) == "300"
    settings[TIMEOUT_SETTING] = "7"
    cli.main()
    assert settings[TIMEOUT_SETTING] == "7"


@pytest.mark.parametrize(("waited", "advised"), [("1", 600), ("300", 600), ("900", 1800)])
def test_a_server_that_is_too_slow_names_the_cause_and_the_setting(
    monkeypatch: pytest.MonkeyPatch, waited: str, advised: int
) -> None:
    """It is time that lacks, and neither a server nor a folder."""
    monkeypatch.setenv(TIMEOUT_SETTING, waited)
    with pytest.raises(FlywheelError) as told, server_answers():
        raise RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server.")
    assert f"still starting after {waited} s" in str(told.value)
    assert f"{TIMEOUT_SETTING}={advised}" in str(told.value)
    assert "PREFECT_HOME" not in str(told.value)


def test_a_server_that_ended_names_another_cause() -> None:
    """More time would not help it."""
    with pytest.raises(FlywheelError) as told, server_answers():
        raise RuntimeError(
            "Timed out while attempting to connect to ephemeral Prefect API server. Ephemeral "
            "server process exited with code 1."
        )
    assert "PREFECT_HOME must be a folder" in str(told.value)
    assert TIMEOUT_SETTING not in str(told.value)


def test_a_server_that_another_host_runs_names_its_setting() -> None:
    """The URL is the user's."""
    with pytest.raises(FlywheelError) as told, server_answers():
        raise RuntimeError("Failed to reach API at http://site.example:4200/api/.")
    assert "PREFECT_API_URL" in str(told.value)
    assert TIMEOUT_SETTING not in str(told.value)


def test_a_server_that_has_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect would wait until the time is up."""
    never = Event()
    monkeypatch.setattr(MAKES, lambda *, sync_client: never.wait(60))
    monkeypatch.setattr(SubprocessASGIServer(), "server_process", Ended(1))
    with pytest.raises(RuntimeError, match="exited with code 1"), start_server_in_background():
        pass
    never.set()


def test_a_server_whose_port_was_taken_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect takes another port then."""
    up = Event()
    monkeypatch.setattr(MAKES, lambda *, sync_client: up.wait(0.7))
    monkeypatch.setattr(SubprocessASGIServer(), "server_process", Ended(3))
    with start_server_in_background():
        pass
    assert not up.is_set()
