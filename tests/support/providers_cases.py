"""A host of the loopback sshd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.gpu_hosts.ssh import Connection, SshSettings

if TYPE_CHECKING:
    from tests.support.loopback_ssh import Loopback


def on(host: Loopback, script: str) -> str:
    """Run a script on the host."""
    return Connection(SshSettings.model_validate(host.ssh)).check(script)
