"""A cycle as a deployment run of the worker on a rented host, from its start to its last state."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httpx
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from blocks.parameter_types import NO_GENERAL
from flows.console import print_stage
from flows.deployment_names import POOL
from tasks.common.errors import InputError
from tasks.gpu_hosts import lease as leases
from tasks.gpu_hosts import remote_scripts
from tasks.gpu_hosts.ssh import ConnectionLostError, HostError, Tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from prefect.client.schemas.objects import FlowRun, State

    from flows.rental.config import RentConfig
    from tasks.gpu_hosts.lease import Lease
    from tasks.gpu_hosts.ssh import Connection
    from tasks.gpu_hosts.upload import RemotePaths

_POLL_S = 2.0
_LOOK_EVERY_S = 30.0


def require_server() -> str:
    """The address of the Prefect server, which the worker on the host will need too.

    Raises:
        InputError: there is none, or the deployment is not known to it.
    """
    url = get_current_settings().api.url
    if not url:
        raise InputError(
            "rent: needs a Prefect server, whose worker runs on the host. Fix: `asr-flywheel site "
            "up`, then set PREFECT_API_URL to http://127.0.0.1:4200/api."
        )
    return str(url)


def require_deployment(name: str) -> None:
    """Make sure that the server knows what is to be run.

    Raises:
        InputError: it does not, or does not answer.
    """
    try:
        with get_client(sync_client=True) as client:
            client.read_deployment_by_name(name)
    except ObjectNotFound as unknown:
        raise InputError(
            f"deployment {name!r}: the server has none. Fix: `asr-flywheel site up` makes it."
        ) from unknown
    except (httpx.HTTPError, RuntimeError) as away:
        raise InputError(
            f"rent: the Prefect server does not answer ({away}). Fix: start it."
        ) from away


@contextmanager
def reachable_from(connection: Connection) -> Iterator[tuple[str, Tunnel | None]]:
    """Let the host reach the server: its address there, and the tunnel if it takes one.

    A server with TLS is taken to be reachable from anywhere; any other is never exposed but through
    the SSH connection.
    """
    address = urlsplit(require_server())
    if address.scheme == "https":
        yield address.geturl(), None
        return
    tunnel = Tunnel(connection.settings, address.hostname or "127.0.0.1", address.port or 80)
    try:
        port = tunnel.open()
        yield f"http://127.0.0.1:{port}{address.path}", tunnel
    finally:
        tunnel.close()


def start(
    connection: Connection, lease: Lease, root: str, python: str, url: str, config: RentConfig
) -> None:
    """Make the host's own queue and start a worker there that takes runs from no other.

    Raises:
        HostError: the host refuses.
    """
    with get_client(sync_client=True) as client:
        try:
            client.read_work_queue_by_name(lease.queue, POOL)
        except ObjectNotFound:
            client.create_work_queue(lease.queue, work_pool_name=POOL)
    line = f"worker --pool {POOL} --queue {lease.queue} --name {lease.queue} --at-once 1"
    environment = _environment(root, url, config.passed_on())
    connection.check(remote_scripts.start_worker(root, lease.lease, python, line, environment))


def _environment(root: str, url: str, passed_on: Mapping[str, str]) -> dict[str, str]:
    """What the worker needs; holds secrets, which go into a file of its owner's alone."""
    api = get_current_settings().api
    secrets = {"PREFECT_API_AUTH_STRING": api.auth_string, "PREFECT_API_KEY": api.key}
    return {
        "PREFECT_API_URL": url,
        "PREFECT_HOME": f"{root}/prefect",
        "PREFECT_CLIENT_MAX_RETRIES": "8",
        # The host bills while it waits for its one run.
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        **{name: value.get_secret_value() for name, value in secrets.items() if value},
        **passed_on,
    }


def launch(lease: Lease, config: RentConfig, placed: RemotePaths) -> Lease:
    """Ask for the run, in the host's queue; the lease with its id."""
    there = {
        "cycle": placed.cycle,
        "base": placed.base,
        "baseline": placed.baseline,
        # None would have the host make sentences of its own.
        "general": placed.general or NO_GENERAL,
        "audio_roots": list(placed.audio_roots),
        "remedies": config.further_trainings,
    }
    asked = cast(
        "FlowRun",
        run_deployment(
            config.deployment,
            parameters={"config": {**config.run.model_dump(mode="json"), **there}},
            work_queue_name=lease.queue,
            idempotency_key=lease.lease,
            timeout=0,
        ),
    )
    started = replace(lease, run=str(asked.id))
    leases.write(started)
    return started


@dataclass(slots=True)
class Watch:
    """Follows a run on a host until it has ended, the host is lost, or its time is up."""

    connection: Connection
    lease: Lease
    root: str
    tunnel: Tunnel | None
    deadline: float
    patience_s: float
    _lost_since: float | None = None
    _looked: float = 0.0
    _told: str = ""

    def until_it_ends(self, run: UUID) -> State:
        """The run's last state.

        Raises:
            HostError: the worker is gone, the host is lost, or its time is up.
        """
        self._looked = time.monotonic()
        while True:
            state = _state(run)
            if state is not None and state.name != self._told:
                self._told = str(state.name)
                print_stage("host", f"the run on {self.lease.host} is {self._told.lower()}")
            if state is not None and state.is_final():
                return state
            if time.time() > self.deadline:
                raise HostError(f"{self.lease.host}: its time limit was reached.")
            self._keep_connected()
            self._look()
            time.sleep(_POLL_S)

    def _keep_connected(self) -> None:
        if self.tunnel is None or self.tunnel.alive:
            return
        try:
            self.tunnel.open()
        except ConnectionLostError as lost:
            self._count_lost(lost)
        else:
            self._lost_since = None
            print_stage("host", f"the connection to {self.lease.host} is back")

    def _count_lost(self, lost: ConnectionLostError) -> None:
        if self._lost_since is None:
            self._lost_since = time.monotonic()
            print_stage("host", f"the connection to {self.lease.host} is lost; trying again")
        elif time.monotonic() - self._lost_since > self.patience_s:
            raise HostError(
                f"{self.lease.host}: not reachable for {self.patience_s:.0f} s in mid-run. {lost}"
            ) from lost

    def _look(self) -> None:
        """See now and then that the worker is there: a host that was booted anew has none."""
        if time.monotonic() - self._looked < _LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        try:
            said = self.connection.check(remote_scripts.alive(self.root, self.lease.lease))
        except ConnectionLostError as lost:
            self._count_lost(lost)
            return
        # Failed looks are of one outage only if none between them went well.
        if self.tunnel is None or self.tunnel.alive:
            self._lost_since = None
        count, _, log = said.partition("\n")
        if int(count) == 0:
            raise HostError(f"{self.lease.host}: the worker is gone. Its last words:\n{log}")


def _state(run: UUID) -> State | None:
    """The run's state, or None while the server does not answer."""
    try:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(run).state
    except (httpx.HTTPError, RuntimeError):
        return None
