"""GPU hosts of two providers behind one interface: Brev, and a host that the user already has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.gpu_hosts.brev_host import BrevInstance
from tasks.gpu_hosts.host_settings import SshHostSettings
from tasks.gpu_hosts.ssh_host import SshHost

if TYPE_CHECKING:
    from tasks.gpu_hosts.host_interface import Host
    from tasks.gpu_hosts.host_settings import BrevSettings


def open_host(
    settings: SshHostSettings | BrevSettings, lease: str, account: str = "", asked: float = 0.0
) -> Host:
    """Open the host of a lease.

    Args:
        settings: of its provider.
        lease: its id.
        account: whose bill it is, once it has been asked for.
        asked: when it was, in seconds since the epoch.
    """
    if isinstance(settings, SshHostSettings):
        return SshHost(settings, lease)
    return BrevInstance(settings, lease, account, asked)
