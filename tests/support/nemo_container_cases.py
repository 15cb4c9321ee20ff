"""The container block on the tests' engine."""

from __future__ import annotations

from typing import Any

from blocks.nemo_container import NemoContainer
from tasks.runtimes.container_settings import ContainerSettings
from tests.support import docker_daemon

LABELS = {"run": "test-nemo-container"}


def block(client: Any, *command: str, **more: Any) -> NemoContainer:
    """A block of the tiny image."""
    settings = ContainerSettings(image=docker_daemon.tiny_image(client))
    return NemoContainer(settings=settings, command=list(command), labels=LABELS, **more)
