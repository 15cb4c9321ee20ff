"""GPU slots: at most one run trains or transcribes on a GPU at any time.

Each GPU has a global concurrency limit on the Prefect server, and each host one of its own for jobs
that use none. They are held only while a GPU is in use, so that a gate or a report never waits for
one. The holder renews its lease while it lives: a run that was killed frees the slot when the lease
ends. Where a server has no such limit there is nothing to wait for, nor where a run starts a server
for itself; the locks of tasks/entrypoints/gpu_locks.py still hold.
"""

from __future__ import annotations

import re
import socket
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists

from flows import prefect_helpers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.runtimes.hardware import Gpu

# The shortest that Prefect allows.
_LEASE_S = 60.0
# A task's start is written down while its body runs. A slot asked for meanwhile is refused by a
# server on SQLite: it reads the limit, cannot then write what another transaction has changed, and
# answers 503, which Prefect's client repeats after two seconds. After a tenth of a second none was
# refused (docs/log).
_WRITTEN_DOWN_S = 0.2
# Enough of a UUID to tell the GPUs of one host apart.
_SHORT = 8
_PAGE = 200


def slot_names(gpus: Sequence[Gpu] = (), host: str | None = None) -> list[str]:
    """The limits of these GPUs, or, where there are none, the host's own."""
    own = host_slot(host)
    shorts = {gpu.uuid.removeprefix("GPU-")[:_SHORT] for gpu in gpus}
    # A GPU that nvidia-smi does not tell of has no name: whoever uses it holds the host's slot.
    return sorted(f"{own}.{short}" if short else own for short in shorts) or [own]


def host_slot(host: str | None = None) -> str:
    """The name of a host's own limit."""
    return "gpu-" + slug(host or socket.gethostname())


def slug(name: str) -> str:
    """A name in the letters that Prefect's keys are made of."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def offer(gpus: Sequence[Gpu]) -> None:
    """Let each of these GPUs, and this host without one, be used by one run at a time."""
    with get_client(sync_client=True) as client:
        for name in {*slot_names(), *slot_names(gpus)}:
            # It may be there: another worker of this host offers it too.
            with suppress(ObjectAlreadyExists):
                wanted = GlobalConcurrencyLimitCreate(name=name, limit=1)
                client.create_global_concurrency_limit(wanted)


def withdraw(host: str) -> None:
    """Remove a host's limits, so that nobody waits for a host that is gone.

    Switched off instead, one that a killed run holds could never be given back: Prefect frees slots
    of active limits only.
    """
    own = host_slot(host)
    with get_client(sync_client=True) as client:
        names: list[str] = []
        while page := client.read_global_concurrency_limits(limit=_PAGE, offset=len(names)):
            names += [limit.name for limit in page]
        for name in names:
            if name == own or name.startswith(f"{own}."):
                client.delete_global_concurrency_limit_by_name(name)


@contextmanager
def gpu_slot(gpus: Sequence[Gpu]) -> Iterator[None]:
    """Hold these GPUs, all of them at once; waits until they are free.

    Args:
        gpus: of the job; none for one on the CPU.
    """
    # A run's own server knows of no other run.
    if not prefect_helpers.is_named():
        yield
        return
    time.sleep(_WRITTEN_DOWN_S)
    with concurrency(slot_names(gpus), lease_duration=_LEASE_S):
        yield
