"""The doctor in front of a real engine."""

from __future__ import annotations

from tasks.stages import host_checks
from tasks.stages.host_checks import CheckStatus
from tests.support import docker_daemon
from tests.support.host_checks_cases import H100, question


def test_a_real_engine_its_image_and_its_runtime() -> None:
    """An image that is here is found; one that is not names its pull; no GPU runtime is told."""
    client = docker_daemon.client()
    docker_daemon.tiny_image(client)
    assert host_checks.docker_engine(question("container")).state is CheckStatus.OK
    assert host_checks.image(question("container")).state is CheckStatus.OK
    absent = host_checks.image(question("container", image="asr-flywheel/never:1"))
    assert (absent.state, absent.fix) == (CheckStatus.MISSING, "docker pull asr-flywheel/never:1")
    runtime = host_checks.nvidia_runtime(question("container", host=H100))
    if "nvidia" not in client.info()["Runtimes"]:
        assert runtime.state is CheckStatus.MISSING
        assert "nvidia-ctk runtime configure" in runtime.fix
