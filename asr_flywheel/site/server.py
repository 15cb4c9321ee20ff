"""Starts Prefect's server, after it has seen to the slots that nobody holds.

    python -m asr_flywheel.site.server --host 127.0.0.1 --port 4200

How many slots of a concurrency limit are taken stands in the database; who holds them stands in
leases, which lie beside it. The two part when a backup is restored that was taken while a run held
a slot: there is no lease that could end, so nobody would ever free it, and the GPU (or a deployment
with a limit) would be waited for for ever. While no server runs nobody can take a slot, so that is
when the count is set to what the leases say.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

import sqlalchemy
from prefect.server.concurrency.lease_storage import get_concurrency_lease_storage
from prefect.server.database import provide_database_interface

from flows.console import print_stage

if TYPE_CHECKING:
    from uuid import UUID

_PAGE = 200


def main() -> None:
    """Free what nobody holds, then become the server; does not return."""
    for line in asyncio.run(free_slots()):
        print_stage("slots", line)
    os.execv(  # noqa: S606 - a list, no shell
        sys.executable, [sys.executable, "-m", "prefect", "server", "start", *sys.argv[1:]]
    )


async def free_slots() -> list[str]:
    """Count the slots of each limit as taken that a lease holds, and no others.

    A lease that has ended counts too: the server ends it with its slots as soon as it runs.

    Returns:
        What was changed, a line for each limit.
    """
    leased = await _count_leased_slots()
    database = provide_database_interface()
    await database.create_db()  # as the server does first: a new or an older database
    limits = database.ConcurrencyLimitV2
    changed = []
    async with database.session_context(begin_transaction=True) as session:
        # Slots of a limit of so many a second come back by themselves, without leases.
        slot_limits = sqlalchemy.select(limits).where(limits.slot_decay_per_second == 0)
        for limit in (await session.scalars(slot_limits)).all():
            if limit.active_slots != leased[limit.id]:
                changed.append(
                    f"{limit.name}: {limit.active_slots} taken, {leased[limit.id]} held by a lease"
                )
                limit.active_slots = leased[limit.id]
    return changed


async def _count_leased_slots() -> Counter[UUID]:
    """Count the slots that leases hold, by the limit's id."""
    storage = get_concurrency_lease_storage()
    active: list[UUID] = []
    while page := await storage.read_active_lease_ids(limit=_PAGE, offset=len(active)):
        active += page
    leased: Counter[UUID] = Counter()
    for lease_id in {*active, *await storage.read_expired_lease_ids(limit=sys.maxsize)}:
        if (lease := await storage.read_lease(lease_id)) is not None and lease.metadata is not None:
            leased.update(dict.fromkeys(lease.resource_ids, lease.metadata.slots))
    return leased


if __name__ == "__main__":
    main()
