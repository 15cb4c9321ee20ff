"""Costs of rented hosts: ``cost_ledger.jsonl`` in the folder that holds the cycles.

One JSON object a line, only ever appended to: a line for every rental, whatever it ended in. A line
is on the disk before ``append`` returns, and several processes may append at once. A line that a
crash cut short stays where it is, is never mistaken for an entry, and is reported by ``read``.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.common.schemas import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LEDGER_NAME = "cost_ledger.jsonl"
_UTC = "%Y-%m-%dT%H:%M:%SZ"


class RentalOutcome(StrEnum):
    """The end of a rental."""

    COMPLETED = "completed"
    REFUSED = "refused"  # the gate refused the cycle, on the host
    FAILED = "failed"
    CANCELLED = "cancelled"
    NOT_CREATED = "not-created"  # no host was asked for: it could not be had
    REAPED = "reaped"  # its owner was gone; a later start gave the host back
    NOT_GIVEN_BACK = "not-given-back"  # the host may still bill: somebody was alarmed


class LedgerEntry(BaseModel):
    """One rental: a line of the ledger."""

    # A later version may add fields; this one reads past them.
    model_config = ConfigDict(frozen=True, extra="ignore")

    started: str = Field(description="When the host was asked for, UTC: 2026-11-24T21:53:00Z.")
    ended: str = Field(description="When it was given back, or given up, UTC.")
    cycle: int = Field(ge=1, description="The cycle that was tuned there.")
    run: str = Field("", description="Id of the flow run on the host; empty if there was none.")
    provider: str = Field(description="brev, ssh.")
    sku: str = Field(description="As the table of SKUs names it.")
    host: str = Field(description="The host's name at its provider.")
    seconds: float = Field(ge=0, description="From started to ended.")
    usd_per_hour: float = Field(ge=0, description="What the price was taken to be.")
    usd: float = Field(ge=0, description="seconds at usd_per_hour; the provider's bill counts.")
    outcome: RentalOutcome


@dataclass(frozen=True, slots=True)
class Ledger:
    """The content of a ledger.

    Attributes:
        path: of the file, which need not exist.
        entries: in the order in which they were written.
        torn: a sentence for each line that a crash cut short; what it would have said is lost.
    """

    path: Path
    entries: tuple[LedgerEntry, ...]
    torn: tuple[str, ...]

    @property
    def usd(self) -> float:
        """The sum of all entries, US dollars."""
        return round(sum(entry.usd for entry in self.entries), 4)

    @property
    def usd_by_cycle(self) -> Mapping[int, float]:
        """The sum of each cycle's entries, US dollars, by the cycle's number."""
        sums: defaultdict[int, float] = defaultdict(float)
        for entry in self.entries:
            sums[entry.cycle] += entry.usd
        return {cycle: round(usd, 4) for cycle, usd in sorted(sums.items())}


def entry(
    *,
    started: float,
    ended: float,
    cycle: int,
    run: str,
    provider: str,
    sku: str,
    host: str,
    usd_per_hour: float,
    outcome: RentalOutcome,
) -> LedgerEntry:
    """Return an entry with its duration and cost.

    Args:
        started: seconds since the epoch, when the host was asked for.
        ended: likewise, when it was given back or given up.
        cycle: the cycle's number.
        run: id of the flow run on the host.
        provider: of the host.
        sku: of the host.
        host: its name at the provider.
        usd_per_hour: its price, US dollars.
        outcome: what it ended in.
    """
    # A clock that was set back makes no negative cost.
    seconds = round(max(ended - started, 0.0), 1)
    return LedgerEntry(
        started=time.strftime(_UTC, time.gmtime(started)),
        ended=time.strftime(_UTC, time.gmtime(ended)),
        cycle=cycle,
        run=run,
        provider=provider,
        sku=sku,
        host=host,
        seconds=seconds,
        usd_per_hour=usd_per_hour,
        usd=round(seconds * usd_per_hour / 3600, 4),
        outcome=outcome,
    )


def append(folder: Path, new: LedgerEntry) -> Path:
    """Add an entry to the ledger of a folder of cycles; it is on the disk when this returns.

    Returns:
        The ledger's file.

    Raises:
        InputError: the file cannot be written.
    """
    path = folder / LEDGER_NAME
    atomic_files.check_target(path)
    document = Schema.RENTAL.mark(new.model_dump(mode="json"))
    line = json.dumps(document, ensure_ascii=False).encode() + b"\n"
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error}). Fix: make it a file that you may write to."
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        # A line that was cut short would swallow this one.
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line
        while line:
            line = line[os.write(handle, line) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    return path


def read(folder: Path) -> Ledger:
    """Read the ledger of a folder of cycles; return an empty one if there is none.

    Raises:
        InputError: the file cannot be read, or a whole line is no entry.
    """
    path = folder / LEDGER_NAME
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Ledger(path, (), ())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    entries: list[LedgerEntry] = []
    torn: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            torn.append(f"{path}: line {number} was cut short by a crash; its cost is not counted.")
            continue
        try:
            entries.append(LedgerEntry.model_validate(value))
        except ValidationError as wrong:
            first = wrong.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the line"
            raise InputError(
                f"{path}: line {number}: {place}: {first['msg']} (got {first['input']!r}). "
                "Fix: mend the line, or take it out."
            ) from wrong
    return Ledger(path, tuple(entries), tuple(torn))
