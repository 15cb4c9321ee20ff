"""Which slots a starting server counts as taken: those that a lease holds, and no others."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy
from prefect.server.concurrency.lease_storage import (
    ConcurrencyLimitLeaseMetadata,
    filesystem,
    get_concurrency_lease_storage,
)
from prefect.server.database import provide_database_interface
from prefect.settings import (
    PREFECT_API_DATABASE_CONNECTION_URL,
    PREFECT_HOME,
    PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE,
    temporary_settings,
)

from asr_flywheel.site.server import free_slots

if TYPE_CHECKING:
    from pathlib import Path

HOUR = timedelta(hours=1)
# By name: slots taken by the database, how long each lease still lasts, slots back a second.
LIMITS: dict[str, tuple[int, list[timedelta], float]] = {
    "held": (1, [HOUR], 0),
    "free": (0, [], 0),
    "ended-just-now": (1, [-HOUR], 0),
    "restored-while-taken": (1, [], 0),
    "restored-while-free": (0, [HOUR], 0),
    "so-many-a-second": (3, [], 0.1),
}


async def taken() -> dict[str, int]:
    """What the database says."""
    database = provide_database_interface()
    async with database.session_context() as session:
        found = (await session.scalars(sqlalchemy.select(database.ConcurrencyLimitV2))).all()
        return {str(limit.name): int(limit.active_slots) for limit in found}


async def prepare() -> None:
    """Limits and leases as they were left."""
    database = provide_database_interface()
    await database.create_db()
    storage = get_concurrency_lease_storage()
    for name, (slots, leases, decay) in LIMITS.items():
        limit = database.ConcurrencyLimitV2(
            name=name, limit=3, active_slots=slots, slot_decay_per_second=decay
        )
        async with database.session_context(begin_transaction=True) as session:
            session.add(limit)
            await session.flush()
            number = limit.id
        for left in leases:
            await storage.create_lease([number], left, ConcurrencyLimitLeaseMetadata(slots=1))


async def story() -> tuple[list[str], dict[str, int], list[str]]:
    """What a start changed, what it left, and what the next start changes."""
    await prepare()
    return await free_slots(), await taken(), await free_slots()


def test_a_start_counts_what_leases_hold(tmp_path: Path) -> None:
    """A lease that has ended is the server's to end; limits of so many a second have none."""
    with temporary_settings(
        {
            PREFECT_HOME: tmp_path,
            PREFECT_API_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{tmp_path}/prefect.db",
            PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE: filesystem.__name__,
        }
    ):
        changed, left, again = asyncio.run(story())
    assert left == {
        "held": 1,
        "free": 0,
        "ended-just-now": 1,
        "restored-while-taken": 0,
        "restored-while-free": 1,
        "so-many-a-second": 3,
    }
    assert sorted(changed) == [
        "restored-while-free: 0 taken, 1 held by a lease",
        "restored-while-taken: 1 taken, 0 held by a lease",
    ]
    assert again == []
