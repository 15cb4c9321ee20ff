"""The local record of a rented host: written before it is asked for, removed when it is given back.

Whoever rents holds a lock on the record, which the kernel frees if he is killed. A record whose
lock is free is a host that is still out.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from tasks.common import atomic_files, schemas
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.common.shell_words import in_shell
from tasks.gpu_hosts.host_settings import Provider
from tasks.gpu_hosts.providers import open_host
from tasks.records import cost_ledger
from tasks.records.cost_ledger import RentalOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.gpu_hosts.host_interface import Host


@dataclass(frozen=True, slots=True)
class Lease:
    """A host that is out, or may be.

    Attributes:
        lease: its id, which is part of the host's name or folder.
        provider: the settings of the provider, as JSON: no secrets are among them.
        host: its name at the provider.
        cycle: the cycle's folder.
        number: the cycle's number.
        sku: what was asked for.
        usd_per_hour: what the person was told; from the order on, the provider's price.
        account: whose bill it is, as the provider names it.
        started: when it was asked for, seconds since the epoch.
        counted_until: up to when its cost is in the ledger already.
        run: id of the flow run on it, once there is one.
        queue: the work queue of its worker.
    """

    provider: Mapping[str, Any]
    host: str
    cycle: str
    number: int
    sku: str
    usd_per_hour: float
    lease: str = field(default_factory=lambda: secrets.token_hex(4))
    started: float = field(default_factory=time.time)
    counted_until: float = 0.0
    run: str = ""
    account: str = ""

    @property
    def queue(self) -> str:
        """The work queue that only this host's worker takes runs from."""
        return f"rented-{self.lease}"

    def open(self) -> Host:
        """Open the host."""
        settings: Any = TypeAdapter(Provider).validate_python(dict(self.provider))
        return open_host(settings, self.lease, self.account, self.started)

    def entry(self, outcome: RentalOutcome, ended: float | None = None) -> cost_ledger.LedgerEntry:
        """Return the ledger's entry for the time that is not in it yet."""
        return cost_ledger.entry(
            started=max(self.started, self.counted_until),
            ended=time.time() if ended is None else ended,
            cycle=self.number,
            run=self.run,
            provider=str(self.provider["provider"]),
            sku=self.sku,
            host=self.host,
            usd_per_hour=self.usd_per_hour,
            outcome=outcome,
        )

    def count(self, outcome: RentalOutcome) -> Lease:
        """Put its cost so far into the ledger beside its cycle, or else into the state folder.

        Raises:
            InputError: neither can be written.
        """
        now = self.started if outcome is RentalOutcome.NOT_CREATED else time.time()
        folder = Path(self.cycle).parent
        entry = self.entry(outcome, now)
        # The folder may be gone, or another's, when a forgotten host is found; its cost must stay.
        try:
            cost_ledger.append(folder if folder.is_dir() else place(), entry)
        except (InputError, OSError):
            cost_ledger.append(place(), entry)
        return replace(self, counted_until=now)


def place() -> Path:
    """Return the folder of the records: the user's state folder."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "asr-flywheel" / "hosts"


@contextmanager
def hold(lease: str) -> Iterator[None]:
    """Hold the lock of a lease, by its id; whoever is killed holds it no more.

    What was read of the lease before may be old by now: see ``read``.

    Raises:
        BlockingIOError: somebody else holds it.
    """
    place().mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(_lock_path(lease), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def write(lease: Lease) -> None:
    """Write or renew the record; it is on the disk when this returns."""
    path = _record_path(lease.lease)
    atomic_files.write_json(path, Schema.LEASE.mark(asdict(lease)))
    for target in (path, path.parent):
        handle = os.open(target, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def remove(lease: Lease) -> None:
    """Remove the record of a host that was given back."""
    forget(lease.lease)


def forget(lease: str) -> None:
    """Remove a record by its id, whatever is in it."""
    _record_path(lease).unlink(missing_ok=True)
    with suppress(OSError):
        _lock_path(lease).unlink(missing_ok=True)


def ids() -> list[str]:
    """List the ids of all records that are there, readable or not."""
    return sorted(path.stem for path in place().glob("*.json"))


def read(lease: str) -> Lease | None:
    """Read a record by its id; None if it is not there (any more).

    Raises:
        InputError: it cannot be read: nobody knows which host it is of.
    """
    path = _record_path(lease)
    try:
        document = atomic_files.read_json(path)
        Schema.LEASE.check(document, path)
        record = Lease(**{name: document[name] for name in document if name != schemas.KEY})
        record.open()
    except (InputError, TypeError, ValueError) as wrong:
        if not path.exists():
            return None
        raise InputError(
            f"{path}: the record of a host that may be out cannot be read ({wrong}). Fix: look for "
            f"a host with {lease} in its name at its provider (at Brev: `brev ls --all`) and end "
            f"it by hand, then `asr-flywheel rent --forget {in_shell(lease)}`."
        ) from wrong
    return record


def _record_path(lease: str) -> Path:
    return place() / f"{lease}.json"


def _lock_path(lease: str) -> Path:
    return place() / f"{lease}.lock"
