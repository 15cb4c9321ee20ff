"""The Docker Engine: what is missing for a run in a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.stages import container_checks
from tasks.stages.check_result import CheckStatus
from tests.support.host_checks_cases import H100, no_engine, run_context

if TYPE_CHECKING:
    import pytest


def test_an_engine_that_is_not_there_stops_a_container_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the fault's own remedy; a local run does without."""
    no_engine(monkeypatch)
    for check in (container_checks.docker_engine, container_checks.image):
        assert check(run_context("container")).state is CheckStatus.MISSING
        assert check(run_context()).state is CheckStatus.NOTE
    assert "systemctl start docker" in container_checks.docker_engine(run_context("container")).fix
    assert (
        container_checks.nvidia_runtime(run_context("container", host=H100)).state
        is CheckStatus.MISSING
    )


def test_a_socket_that_may_not_be_used_is_another_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It names the docker group."""
    from docker.errors import DockerException  # noqa: PLC0415 - what the client raises

    def refused() -> None:
        raise DockerException("PermissionError(13, 'Permission denied')")

    monkeypatch.setattr("docker.from_env", refused)
    assert "docker group" in container_checks.docker_engine(run_context("container")).fix
