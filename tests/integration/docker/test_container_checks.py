"""The doctor in front of a real engine."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from tasks.stages import container_checks
from tasks.stages.check_result import CheckStatus
from tests.support import docker_daemon
from tests.support.host_checks_cases import H100, run_context

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_real_engine_its_image_and_its_runtime() -> None:
    """An image that is here is found; one that is not names its pull; no GPU runtime is told."""
    client = docker_daemon.client()
    docker_daemon.tiny_image(client)
    assert container_checks.docker_engine(run_context("container")).state is CheckStatus.OK
    assert container_checks.image(run_context("container")).state is CheckStatus.OK
    absent = container_checks.image(run_context("container", image="asr-flywheel/never:1"))
    assert (absent.state, absent.fix) == (CheckStatus.MISSING, "docker pull asr-flywheel/never:1")
    runtime = container_checks.nvidia_runtime(run_context("container", host=H100))
    if "nvidia" not in client.info()["Runtimes"]:
        assert runtime.state is CheckStatus.MISSING
        assert "nvidia-ctk runtime configure" in runtime.fix


def test_nobody_is_logged_in_where_the_image_comes_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The log-in is named only where there is none; credentials are not printed."""
    docker_daemon.client()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    there = run_context("container", image="nvcr.io/nvidia/nemo:never")
    assert container_checks.image(there).fix.startswith("docker login nvcr.io")
    secret = base64.b64encode(b"$oauthtoken:planted-key").decode()
    config = {"auths": {"nvcr.io": {"auth": secret}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = container_checks.image(there)
    assert found.fix == "docker pull nvcr.io/nvidia/nemo:never"
    assert secret not in str(found)
