"""An instance at NVIDIA Brev, for one rental."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.gpu_hosts import remote_scripts
from tasks.gpu_hosts.brev import Brev, Instance
from tasks.gpu_hosts.host_interface import HostStatus, NothingCreatedError, Quote
from tasks.gpu_hosts.ssh import Connection, HostError, SshSettings

if TYPE_CHECKING:
    from tasks.gpu_hosts.host_settings import BrevSettings

_POLL_S = 5.0
# A cancelled flow has 30 s to live; within this, deletion must at least have begun.
_GONE_S = 15.0


@dataclass(frozen=True, slots=True)
class BrevInstance:
    """An instance at Brev.

    Attributes:
        settings: of Brev.
        lease: of the instance.
        account: id of the organisation that it was asked for in; empty: nobody knows.
        asked: when, in seconds since the epoch.
    """

    settings: BrevSettings
    lease: str
    account: str = ""
    asked: float = 0.0

    @property
    def name(self) -> str:
        """The specification's name, made unique."""
        return f"digital-health-clinical-asr-sft-{self.lease}"

    @property
    def connection(self) -> Connection:
        """The connection by the entry that ``brev refresh`` writes."""
        return Connection(
            SshSettings.model_validate(
                # Nobody can know the key of a host that did not exist a minute ago.
                {
                    "destination": self.name,
                    "config": self.settings.ssh_config,
                    "new_host_key": True,
                }
            )
        )

    @property
    def _brev(self) -> Brev:
        return Brev(self.settings.program)

    def quote(self, gpu: str, memory_gb: int, disk_gb: int, most_usd_per_hour: float) -> Quote:
        """Return the cheapest offer, if it is as cheap as the person was told."""
        try:
            account = self._find_account()
            offer = self._brev.cheapest(gpu, memory_gb, disk_gb)
        except HostError as refused:
            raise NothingCreatedError(str(refused)) from refused
        # Half a cent is rounding.
        if offer.usd_per_hour > most_usd_per_hour + 0.005:
            raise NothingCreatedError(
                f"brev: one {gpu} costs {offer.usd_per_hour:.2f} $ an hour now "
                f"({offer.type} of {offer.cloud}), and YES was said to {most_usd_per_hour:.2f} $. "
                f"Nothing was created. Fix: say --usd-per-hour {offer.usd_per_hour:.2f}, and look "
                "at the costs again."
            )
        return Quote(offer.usd_per_hour, account, offer)

    def _find_account(self) -> str:
        """Return the id of the active organisation; "" if an API key does not tell it."""
        active = next(
            (organisation for organisation in self._brev.organisations() if organisation.active),
            None,
        )
        required = self.settings.organisation
        if required and (active is None or required not in {active.id, active.name}):
            actual = "unknown" if active is None else active.name
            raise HostError(
                f"brev: the organisation is to be {required!r}, and the active one is {actual}. "
                f"Fix: `brev set {required}`."
            )
        return "" if active is None else active.id

    def provision(self, quote: Quote, limit_s: int) -> None:
        """Rent what was offered; its clock starts when it boots."""
        if quote.offer is None:
            raise ValueError("these terms are not Brev's")
        command = self.settings.at_limit
        script = remote_scripts.clock_at_boot(self.lease, limit_s, command) if command else ""
        self._brev.create(self.name, quote.offer, script)

    def wait_until_reachable(self, seconds: float) -> None:
        """Wait until Brev calls it ready, then for sshd."""
        deadline = time.monotonic() + seconds
        brev = self._brev
        while True:
            instance = brev.find(self.name)
            if instance is not None and instance.ready:
                break
            if instance is not None and instance.status == "FAILURE":
                raise HostError(f"brev: {self.name} failed to start.")
            if time.monotonic() > deadline:
                status = "not there" if instance is None else f"{instance.status}, {instance.build}"
                raise HostError(f"brev: {self.name} is not ready after {seconds:.0f} s ({status}).")
            time.sleep(min(_POLL_S, seconds / 10))
        brev.refresh()
        self.connection.wait(max(deadline - time.monotonic(), 1.0))

    def release(self) -> None:
        """Delete it, and see that Brev has taken the order.

        It counts as absent only in the organisation that it was asked for in, and only when that
        was long enough ago for an order that was cut off to show.
        """
        self._require_account()
        brev = self._brev
        while (instance := brev.find(self.name)) is None:
            wait = self.asked + self.settings.settle_s - time.time()
            if wait <= 0:
                break
            time.sleep(min(_POLL_S, wait))
        if instance is None:
            self._require_known_account()
            return
        try:
            brev.delete(self.name)
        except HostError:
            # Somebody else may have deleted it meanwhile.
            if not self._read_status().given_back:
                raise
        deadline = time.monotonic() + _GONE_S
        while not (state := self._read_status()).given_back:
            if time.monotonic() > deadline:
                raise HostError(f"brev: {self.name} is {state} after it was given back.")
            time.sleep(1.0)

    def _require_account(self) -> None:
        """Refuse to look for it in an organisation that it is not in."""
        organisations = self._brev.organisations()
        active = next((organisation for organisation in organisations if organisation.active), None)
        if (active.id if active else "") == self.account:
            return
        asked_for = next(
            (
                organisation.name
                for organisation in organisations
                if organisation.id == self.account
            ),
            None,
        )
        raise HostError(
            f"brev: it was asked for in the organisation "
            f"{asked_for or self.account or 'of an API key'}, and the active one is "
            f"{active.name if active else 'that of an API key'}. Fix: "
            f"`brev {f'set {asked_for}' if asked_for else 'login'}` as before, then try again."
        )

    def _require_known_account(self) -> None:
        """Refuse to believe in its absence where it would not be seen."""
        if not self.account:
            raise HostError(
                "brev: it is not listed, but with an API key nobody can tell whether this is the "
                "organisation that it was asked for in. Fix: look in Brev's console."
            )

    def state(self) -> HostStatus:
        """Return its status by ``brev ls``, in its own organisation."""
        self._require_account()
        return self._read_status()

    def _read_status(self) -> HostStatus:
        return _status_of(self._brev.find(self.name))


def _status_of(instance: Instance | None) -> HostStatus:
    if instance is None:
        return HostStatus.ABSENT
    return {
        "RUNNING": HostStatus.RUNNING,
        "UNHEALTHY": HostStatus.RUNNING,
        "STOPPING": HostStatus.STOPPED,
        "STOPPED": HostStatus.STOPPED,
        "DELETING": HostStatus.ENDING,
        "FAILURE": HostStatus.FAILED,
    }.get(instance.status, HostStatus.STARTING)
