"""A host that the user already has, for one rental."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.gpu_hosts import remote_scripts
from tasks.gpu_hosts.host_interface import HostStatus, NothingCreatedError, Quote
from tasks.gpu_hosts.ssh import Connection, HostError

if TYPE_CHECKING:
    from tasks.gpu_hosts.host_settings import SshHostSettings


@dataclass(frozen=True, slots=True)
class SshHost:
    """A user's own host: there is nothing to create; giving back is to leave nothing running."""

    settings: SshHostSettings
    lease: str

    @property
    def name(self) -> str:
        """user@host, or the name in the ssh configuration."""
        return self.settings.ssh.destination

    @property
    def connection(self) -> Connection:
        """The connection to the host."""
        return Connection(self.settings.ssh)

    def quote(self, gpu: str, memory_gb: int, disk_gb: int, most_usd_per_hour: float) -> Quote:
        """Return the owner's price if the host is there."""
        del gpu, memory_gb, disk_gb
        try:
            self.connection.check("true", timeout_s=self.settings.ssh.connect_s + 5)
        except HostError as unreachable:
            raise NothingCreatedError(str(unreachable)) from unreachable
        return Quote(most_usd_per_hour)

    def provision(self, quote: Quote, limit_s: int) -> None:
        """Do nothing: the host is there."""

    def wait_until_reachable(self, seconds: float) -> None:
        """Wait for sshd."""
        self.connection.wait(seconds)

    def release(self) -> None:
        """End the worker and what it started, and remove every file of the lease."""
        script = remote_scripts.end(self.settings.folder, self.lease, self.settings.give_back)
        self.connection.check(script, timeout_s=60)

    def state(self) -> HostStatus:
        """Return running as long as a process or a file of the lease is there."""
        remains = self.connection.check(
            remote_scripts.remaining(self.settings.folder, self.lease)
        ).strip()
        return HostStatus.RUNNING if remains else HostStatus.ABSENT
