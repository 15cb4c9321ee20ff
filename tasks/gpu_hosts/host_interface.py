"""What a GPU host does for one rental, whoever its provider is.

Giving back may be asked for again. What happens on the host itself is in
tasks/gpu_hosts/remote_scripts.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from tasks.gpu_hosts.ssh import Connection, HostError

if TYPE_CHECKING:
    from tasks.gpu_hosts.brev import Offer


class NothingCreatedError(HostError):
    """No host was asked for, so that there is none to give back."""


class HostStatus(StrEnum):
    """The status of a host, as far as it costs."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    ENDING = "ending"  # the provider has taken the order
    STOPPED = "stopped"  # by somebody else; its disk bills on
    FAILED = "failed"

    @property
    def given_back(self) -> bool:
        """Whether it bills no more."""
        return self in {HostStatus.ABSENT, HostStatus.ENDING}


@dataclass(frozen=True, slots=True)
class Quote:
    """The offer of a provider.

    Attributes:
        usd_per_hour: its price now.
        account: whose bill it will be, so that nobody looks for the host in another one later.
        offer: what Brev is to be asked for.
    """

    usd_per_hour: float
    account: str = ""
    offer: Offer | None = None


class Host(Protocol):
    """A host for one rental."""

    @property
    def name(self) -> str:
        """The name by which a person finds it at its provider."""

    @property
    def connection(self) -> Connection:
        """The connection for scripts, files and tunnels."""

    def quote(self, gpu: str, memory_gb: int, disk_gb: int, most_usd_per_hour: float) -> Quote:
        """Return its price now; ask for nothing.

        Raises:
            NothingCreatedError: it cannot be had, or only at a higher price.
        """

    def provision(self, quote: Quote, limit_s: int) -> None:
        """Ask the provider for the host.

        Args:
            quote: from ``quote``.
            limit_s: after which it ends by itself, even if nobody ever reaches it.

        Raises:
            HostError: it was asked for, and that failed: it may bill all the same.
        """

    def wait_until_reachable(self, seconds: float) -> None:
        """Wait until scripts can be run on it.

        Raises:
            HostError: it failed, or is not reachable in time.
        """

    def release(self) -> None:
        """End what it costs: delete it, or stop it if that was settled.

        Raises:
            HostError: it may still bill.
        """

    def state(self) -> HostStatus:
        """Return the host's status.

        Raises:
            HostError: nobody can tell.
        """
