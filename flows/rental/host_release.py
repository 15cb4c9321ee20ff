"""Giving hosts back, this run's and those that a killed one left, and the alarm if that fails."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

import tenacity
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.states import Cancelled

from flows import gpu_slots, prefect_helpers
from flows.console import print_stage
from flows.deployment_names import POOL
from tasks.common.errors import FlywheelError, InputError
from tasks.common.shell_words import in_shell
from tasks.gpu_hosts import lease as leases
from tasks.gpu_hosts.ssh import HostError
from tasks.records.cost_ledger import RentalOutcome

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from tasks.gpu_hosts.lease import Lease

_TRIES = 3
_PAUSE_S = 2.0


class HostReleaseError(HostError):
    """A host could not be given back, and may bill on. The message names it."""


def release_host(lease: Lease, outcome: RentalOutcome, hostname: str = "") -> None:
    """Give a host back, whatever became of the run on it; the ledger gets the cost.

    Args:
        lease: of the host.
        outcome: for the ledger, if it is given back.
        hostname: its own name, if it is known: nobody shall wait for its GPU any more.

    Raises:
        HostStillOutError: it may still bill; the alarm was raised and the record stays.
    """
    failure: BaseException | None = None
    try:
        _try_to_give_back(lease)
    # Whatever went wrong, a second Ctrl-C too: somebody must know that the host may still bill.
    except BaseException as wrong:  # noqa: BLE001 - it is raised below, beside the run's own failure
        failure = wrong
    if failure is not None:
        raised = raise_release_alarm(lease, str(failure) or type(failure).__name__)
        if (counted := _count(lease, RentalOutcome.NOT_GIVEN_BACK)) is not None:
            with suppress(FlywheelError, OSError):
                leases.write(counted)
        if not isinstance(failure, Exception):
            raise failure
        raise raised from failure
    entry = lease.entry(outcome)
    close(lease, outcome)
    print_stage(
        "rent", f"gave back {lease.host}: {entry.seconds / 60:.1f} minutes, {entry.usd:.2f} $"
    )
    _tidy(lease, hostname)


def close(lease: Lease, outcome: RentalOutcome) -> None:
    """A host that bills no more: its cost is counted, then its record goes."""
    _count(lease, outcome)
    leases.remove(lease)


def _try_to_give_back(lease: Lease) -> None:
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=tenacity.wait_fixed(_PAUSE_S),
        reraise=True,
    )
    # Opened anew each time: a host that could not be opened may be opened later. Ctrl-C ends it.
    retrying(lambda: lease.open().release())


def _count(lease: Lease, outcome: RentalOutcome) -> Lease | None:
    """Put the cost into the ledger; where that fails, say what it would have said."""
    try:
        return lease.count(outcome)
    except (FlywheelError, OSError) as wrong:
        row = lease.entry(outcome).model_dump_json()
        _print_alarm(f"rent: no ledger takes this row: {row} ({wrong})")
        return None


def _print_alarm(text: str) -> None:
    """Say it on standard error, which is gone where a terminal was closed."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - whoever looks must see it


def _tidy(lease: Lease, hostname: str) -> None:
    """Take the host's run, queue and GPU slot off the server; all of it is only about order."""
    if not prefect_helpers.is_named():  # Prefect would start one for that
        return
    with suppress(Exception), get_client(sync_client=True) as client:
        if lease.run:
            run = client.read_flow_run(UUID(lease.run))
            if run.state is not None and not run.state.is_final():
                gone: State = Cancelled(message=f"Its host, {lease.host}, was given back.")
                client.set_flow_run_state(run.id, gone, force=True)
        queue = client.read_work_queue_by_name(lease.queue, POOL)
        client.delete_work_queue_by_id(queue.id)
    with suppress(Exception):
        if hostname and gpu_slots.host_slot(hostname) != gpu_slots.host_slot():
            gpu_slots.withdraw(hostname)


def raise_release_alarm(lease: Lease, why: str) -> HostReleaseError:
    """Say on standard error, in an artifact and by an event that a host is still out."""
    text = (
        f"HOST STILL OUT: {lease.host} ({lease.provider['provider']}, {lease.sku}, "
        f"{lease.usd_per_hour:.2f} $ an hour, lease {lease.lease}) could not be given back: {why} "
        f"Fix: `asr-flywheel rent --reap` tries again; or end it at its provider by hand, then "
        f"`asr-flywheel rent --forget {in_shell(lease.lease)}`."
    )
    _print_alarm(text)
    if not prefect_helpers.is_named():
        return HostReleaseError(text)
    with suppress(Exception):
        create_markdown_artifact(
            key=f"host-still-out-{lease.lease}",
            description=f"A host is still out: {lease.host}",
            markdown=f"# A host is still out\n\n{text}\n",
        )
    with suppress(Exception):
        emit_event(
            event="asr-flywheel.host.still-out",
            resource={
                "prefect.resource.id": f"asr-flywheel.host.{lease.lease}",
                "prefect.resource.name": lease.host,
            },
            payload={"why": why, "usd_per_hour": lease.usd_per_hour, "sku": lease.sku},
        )
    return HostReleaseError(text)


def release_abandoned_hosts() -> list[str]:
    """Give back every host whose owner is gone.

    Returns:
        The names of the hosts that were given back.

    Raises:
        HostStillOutError: one of them could not be; the others were tried all the same.
    """
    returned: list[str] = []
    failed: list[HostReleaseError] = []
    for known in leases.ids():
        try:
            with leases.hold(known):
                lease = leases.read(known)
                if lease is None:
                    continue  # another one has just given it back
                print_stage("rent", f"{lease.host} is still out; its owner is gone")
                release_host(lease, RentalOutcome.REAPED)
                returned.append(lease.host)
        except BlockingIOError:
            continue  # its owner lives
        except HostReleaseError as out:
            failed.append(out)
        except InputError as damaged:
            failed.append(HostReleaseError(str(damaged)))
            _print_alarm(str(damaged))
    if failed:
        raise HostReleaseError("\n".join(str(one) for one in failed))
    return returned
