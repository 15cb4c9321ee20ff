"""GPU slots: at most one run trains or transcribes on a host's GPUs at any time.

A global concurrency limit of the Prefect server, named after the host, is held only while a GPU is
in use, so that a gate or a report never waits for one. The holder renews its lease while it lives:
a run that was killed frees the slot when the lease ends. Where a server has no such limit, as in a
run without a worker, there is nothing to wait for; the locks of tasks/entry/devices.py still hold.
"""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

# The shortest that Prefect allows.
_LEASE_S = 60.0


def slot_name(host: str | None = None) -> str:
    """The name of a host's limit."""
    return "gpu-" + re.sub(r"[^a-z0-9]+", "-", (host or socket.gethostname()).lower()).strip("-")


def offer(slots: int = 1) -> str:
    """Let this host's GPUs be used by so many runs at once, and no more.

    Returns:
        The limit's name.
    """
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(slot_name(), slots)
    return slot_name()


def withdraw(host: str | None = None) -> None:
    """Switch a host's limit off, so that nobody waits for a host that is gone."""
    with get_client(sync_client=True) as client:
        try:
            client.update_global_concurrency_limit(
                slot_name(host), GlobalConcurrencyLimitUpdate(active=False)
            )
        except ObjectNotFound:
            return


@contextmanager
def gpu_slot() -> Iterator[None]:
    """Hold this host's GPUs; waits until they are free."""
    with concurrency(slot_name(), lease_duration=_LEASE_S):
        yield
