"""GPU hosts of two providers behind one interface: Brev, and a host that the user already has.

Each call may be made again: a host that is there is not created twice, and one that is gone counts
as deleted. What happens on the host itself is in tasks/remote.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from tasks import remote
from tasks.brev import Brev
from tasks.ssh import Connection, HostError, SshSettings

_POLL_S = 5.0
# A cancelled flow has 30 s to live; within this, deletion must at least have begun.
_GONE_S = 15.0


class NothingCreatedError(HostError):
    """No host was asked for, so that there is none to give back."""


class State(StrEnum):
    """What a host is doing, as far as it costs."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    ENDING = "ending"  # the provider has taken the order
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def given_back(self) -> bool:
        """Whether it bills no more, but for a disk."""
        return self in {State.ABSENT, State.ENDING, State.STOPPED}


class OwnHost(BaseModel):
    """A host that the user already has, over SSH."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Literal["ssh"] = Field("ssh", title="Provider", description="A host of your own.")
    ssh: SshSettings = Field(title="SSH", description="How it is reached.")
    folder: str = Field(
        "asr-flywheel",
        title="Folder",
        description="On the host: an absolute path, or one below the home folder.",
        pattern=r"^[A-Za-z0-9_./-]+$",
    )
    python: str | None = Field(
        None,
        title="Python",
        description="On the host, with this project installed; empty: it is installed there.",
        pattern=r"^[A-Za-z0-9_./+-]+$",
    )
    give_back: str = Field(
        "",
        title="Command at the end",
        description="Runs on the host when it is given back, such as sudo shutdown -h now.",
    )
    at_limit: str = Field(
        "",
        title="Command at the time limit",
        description="Runs on the host if nobody gave it back in time.",
    )


class BrevHost(BaseModel):
    """A host that NVIDIA Brev rents out by the second."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Literal["brev"] = Field("brev", title="Provider", description="NVIDIA Brev.")
    program: str = Field("brev", title="Program", description="Brev's CLI, logged in.")
    organisation: str = Field(
        "", title="Organisation", description="Instead of the active one of brev's CLI."
    )
    ending: Literal["delete", "stop"] = Field(
        "delete",
        title="At the end",
        description="delete frees the disk; stop keeps it, and it goes on costing.",
    )
    ssh_config: str | None = Field(
        None, title="ssh configuration", description="Where brev refresh writes, if not ~/.ssh."
    )
    python: str | None = Field(
        None, title="Python", description="On the host; empty: this project is installed there."
    )
    at_limit: str = Field(
        "sudo shutdown -h now",
        title="Command at the time limit",
        description="Runs on the host if nobody gave it back in time. Whether a host that shut "
        "itself down bills on is the cloud's decision: look with `brev ls`.",
    )


Provider = Annotated[OwnHost | BrevHost, Field(discriminator="provider")]


class Host(Protocol):
    """A host for one rental."""

    @property
    def name(self) -> str:
        """Under which a person finds it at its provider."""

    @property
    def connection(self) -> Connection:
        """How scripts, files and tunnels reach it."""

    def create(self, gpu: str, disk_gb: int, most_usd_per_hour: float) -> None:
        """Have it, by this call or by an earlier one.

        Raises:
            NothingCreatedError: it cannot be had, or only at a higher price.
            HostError: it was asked for, and that failed: it may bill all the same.
        """

    def wait_until_reachable(self, seconds: float) -> None:
        """Wait until scripts can be run on it.

        Raises:
            HostError: it failed, or is not reachable in time.
        """

    def give_back(self) -> None:
        """End what it costs: delete it, or stop it if that was settled.

        Raises:
            HostError: it may still bill.
        """

    def state(self) -> State:
        """What it is doing.

        Raises:
            HostError: nobody can tell.
        """


@dataclass(frozen=True, slots=True)
class Own:
    """A user's own host: there is nothing to create; giving back is to leave nothing running."""

    settings: OwnHost
    lease: str

    @property
    def name(self) -> str:
        """user@host, or the name in the ssh configuration."""
        return self.settings.ssh.destination

    @property
    def connection(self) -> Connection:
        """To the host."""
        return Connection(self.settings.ssh)

    def create(self, gpu: str, disk_gb: int, most_usd_per_hour: float) -> None:
        """It is there already, or it is not."""
        del gpu, disk_gb, most_usd_per_hour
        try:
            self.connection.check("true", timeout_s=self.settings.ssh.connect_s + 5)
        except HostError as away:
            raise NothingCreatedError(str(away)) from away

    def wait_until_reachable(self, seconds: float) -> None:
        """Wait for sshd."""
        self.connection.wait(seconds)

    def give_back(self) -> None:
        """End the worker and what it started, and remove every file of the lease."""
        script = remote.end(self.settings.folder, self.lease, self.settings.give_back)
        self.connection.check(script, timeout_s=60)

    def state(self) -> State:
        """Running as long as a process or a file of the lease is there."""
        left = self.connection.check(remote.left(self.settings.folder, self.lease)).strip()
        return State.RUNNING if left else State.ABSENT


@dataclass(frozen=True, slots=True)
class Rented:
    """An instance at Brev."""

    settings: BrevHost
    lease: str

    @property
    def name(self) -> str:
        """The specification's name, made unique."""
        return f"digital-health-clinical-asr-sft-{self.lease}"

    @property
    def connection(self) -> Connection:
        """By the entry that ``brev refresh`` writes."""
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
        return Brev(self.settings.program, self.settings.organisation)

    def create(self, gpu: str, disk_gb: int, most_usd_per_hour: float) -> None:
        """Rent the cheapest that is offered, if it is as cheap as the person was told."""
        brev = self._brev
        try:
            there = brev.find(self.name)
            offer = brev.cheapest(gpu, disk_gb, stoppable=self.settings.ending == "stop")
        except HostError as refused:
            raise NothingCreatedError(str(refused)) from refused
        if there is not None:
            if there.status == "STOPPED":
                brev.start(self.name)
            return
        # Half a cent is rounding.
        if offer.usd_per_hour > most_usd_per_hour + 0.005:
            raise NothingCreatedError(
                f"brev: one {gpu} costs {offer.usd_per_hour:.2f} $ an hour now "
                f"({offer.type} of {offer.cloud}), and YES was said to {most_usd_per_hour:.2f} $. "
                f"Nothing was created. Fix: say --usd-per-hour {offer.usd_per_hour:.2f}, and look "
                "at the costs again."
            )
        brev.create(self.name, offer)

    def wait_until_reachable(self, seconds: float) -> None:
        """Wait until Brev calls it ready, then for sshd."""
        deadline = time.monotonic() + seconds
        brev = self._brev
        while True:
            found = brev.find(self.name)
            if found is not None and found.ready:
                break
            if found is not None and found.status == "FAILURE":
                raise HostError(f"brev: {self.name} failed to start.")
            if time.monotonic() > deadline:
                status = "not there" if found is None else f"{found.status}, {found.build}"
                raise HostError(f"brev: {self.name} is not ready after {seconds:.0f} s ({status}).")
            time.sleep(min(_POLL_S, seconds / 10))
        brev.refresh()
        self.connection.wait(max(deadline - time.monotonic(), 1.0))

    def give_back(self) -> None:
        """Delete or stop it, and see that Brev has taken the order."""
        brev = self._brev
        if self.settings.ending == "stop":
            found = brev.find(self.name)
            if found is None or found.status in {"STOPPED", "STOPPING", "DELETING"}:
                return
            brev.stop(self.name)
        else:
            brev.delete(self.name)
        deadline = time.monotonic() + _GONE_S
        while not (state := self.state()).given_back:
            if time.monotonic() > deadline:
                raise HostError(f"brev: {self.name} is {state} after it was given back.")
            time.sleep(1.0)

    def state(self) -> State:
        """By ``brev ls``."""
        found = self._brev.find(self.name)
        if found is None:
            return State.ABSENT
        return {
            "RUNNING": State.RUNNING,
            "UNHEALTHY": State.RUNNING,
            "STOPPING": State.ENDING,
            "DELETING": State.ENDING,
            "STOPPED": State.STOPPED,
            "FAILURE": State.FAILED,
        }.get(found.status, State.STARTING)


def open_host(settings: OwnHost | BrevHost, lease: str) -> Host:
    """The host of a lease."""
    return Own(settings, lease) if isinstance(settings, OwnHost) else Rented(settings, lease)
