"""The flow: show the costs, wait for a YES, rent a host, run a cycle there, fetch it, give it back.

The order matters. Everything that can be refused is refused before anybody is asked; the record of
the host is written before it is created; the host's own clock runs before anything else does; and
whatever happens then, the host is given back, or an alarm names it.
"""

from __future__ import annotations

import math
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path  # noqa: TC003 - Prefect reads the flow's result type
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import TerminationSignal
from prefect.states import Cancelled

from flows import audit
from flows.artifacts import artifact_key
from flows.config_fields import RuntimeName
from flows.console import print_stage
from flows.deployment_names import PROJECT
from flows.rental import host_bundle, host_release, remote_run
from flows.rental.config import RentConfig
from flows.rental.confirm import confirmed
from flows.rental.plan import RentalPlan, plan
from tasks.common.counted import agreed, counted
from tasks.data.cycle_lock import lock_cycle
from tasks.gpu_hosts import download, remote_scripts, upload
from tasks.gpu_hosts import lease as leases
from tasks.gpu_hosts.host_interface import NothingCreatedError
from tasks.gpu_hosts.host_settings import BrevSettings, SshHostSettings
from tasks.gpu_hosts.lease import Lease
from tasks.gpu_hosts.ssh import HostError
from tasks.records import kept_runs
from tasks.records.audit_log import AuditedAct
from tasks.records.cost_ledger import RentalOutcome

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun, State

    from tasks.gpu_hosts.download import DownloadedRun
    from tasks.gpu_hosts.host_interface import Host

NOTHING_CREATED = "cancelled: no YES, so no GPU host was created"


@dataclass(frozen=True)
class Rental:
    """What a rental ended in.

    Attributes:
        outcome: as the ledger has it.
        host: that was rented; empty where the gate refused before that.
        next_cycle: the folder with the results, if there are some.
    """

    outcome: RentalOutcome
    host: str = ""
    next_cycle: Path | None = None


def reap_at_once(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
    """A killed run's host is given back by its hook, not only at the next start."""
    del flow, flow_run, state
    host_release.release_abandoned_hosts()


@flow(name="provision-gpu", on_crashed=[reap_at_once], on_cancellation=[reap_at_once])
def provision_gpu(config: RentConfig) -> Rental:
    """Rent a host for a cycle, after a person's YES, and give it back in every outcome."""
    host_release.release_abandoned_hosts()
    remote_run.require_server()
    planned = plan(config)
    if not planned.gate.passed:
        print_stage("gate", f"refused: go to {planned.gate.route}. Nothing to rent a host for.")
        for reason in planned.gate.reasons:
            print_stage("", reason.message)
        return Rental(RentalOutcome.REFUSED)
    remote_run.require_deployment(config.deployment)
    with lock_cycle(planned.cycle, following=True):
        show(planned)
        if not confirmed(planned.lines(), config.answer_minutes * 60):
            print_stage("rent", NOTHING_CREATED)
            return Cancelled(message=NOTHING_CREATED)  # type: ignore[return-value]
        to = planned.provider.provider
        audit.record(planned.cycle, AuditedAct.EXPORT, to=f"rented host, {to}")
        return rent(config, planned)


def show(planned: RentalPlan) -> None:
    """The costs, on the terminal and as an artifact."""
    for line in planned.lines():
        print_stage("rent", line)
    create_markdown_artifact(
        key=artifact_key(planned.cycle, "rent"),
        description=f"What renting a host for cycle {planned.cycle.number} costs",
        markdown="\n".join(["# Costs of a host", "", *(f"- {one}" for one in planned.lines())]),
    )


def rent(config: RentConfig, planned: RentalPlan) -> Rental:
    """Everything after the YES."""
    lease = Lease(
        provider=planned.provider.model_dump(mode="json"),
        host="",
        cycle=str(planned.cycle.path),
        number=planned.cycle.number,
        sku=config.sku,
        usd_per_hour=planned.cost.usd_per_hour,
    )
    host = lease.open()
    lease = replace(lease, host=host.name)
    visit = RentalSession(config, planned, lease, host)
    outcome = RentalOutcome.FAILED
    with leases.hold(lease.lease):
        leases.write(lease)
        try:
            fetched = visit.run()
            outcome = RentalOutcome.REFUSED if fetched is None else RentalOutcome.COMPLETED
        except (TerminationSignal, KeyboardInterrupt):
            outcome = RentalOutcome.CANCELLED
            raise
        except NothingCreatedError:
            outcome = RentalOutcome.NOT_CREATED
            raise
        finally:
            if outcome is RentalOutcome.NOT_CREATED:
                host_release.close(visit.lease, outcome)
            else:
                host_release.release_host(visit.lease, outcome, visit.hostname)
    return Rental(outcome, lease.host, None if fetched is None else fetched.next_cycle)


@dataclass
class RentalSession:
    """A stay on a host: what is known of it grows from step to step."""

    config: RentConfig
    planned: RentalPlan
    lease: Lease
    host: Host
    hostname: str = ""
    interpreter: str = ""

    def run(self) -> DownloadedRun | None:
        """Create, wait, send, run, fetch; None where the gate refused on the host.

        Raises:
            HostError: one of them failed.
        """
        config = self.config
        self._order()
        connection = self.host.connection
        self.host.wait_until_reachable(config.reach_s)
        root = self._begin()
        self._check(root)
        cargo = self.planned.cargo
        placed = upload.send(connection, root, cargo, config.patience_s)
        print_stage("host", f"the cycle is at {placed.cycle}")
        python = self._python(root)
        with remote_run.reachable_from(connection) as (url, tunnel):
            remote_run.start(connection, self.lease, root, python, url, config)
            self.lease = remote_run.launch(self.lease, config, placed)
            deadline = self.lease.started + 60 * config.limit_minutes
            watch = remote_run.Watch(
                connection, self.lease, root, tunnel, deadline, config.patience_s
            )
            ended = watch.until_it_ends(UUID(self.lease.run))
        if not ended.is_completed():
            raise HostError(
                f"the run on {self.host.name} ended as {ended.name}: {ended.message or ''}. "
                f"Its log is in Prefect, flow run {self.lease.run}."
            )
        if not download.has_results(connection, placed, cargo.cycle, config.patience_s):
            print_stage("host", "the gate refused on the host: there is nothing to fetch")
            return None
        fetched = download.fetch(connection, placed, cargo, self._told(), config.patience_s)
        print_stage(
            "host",
            f"{counted(fetched.files, 'file')} {agreed(fetched.files, 'is', 'are')} here, each "
            "with the SHA-256 of its record",
        )
        for kept in fetched.kept:
            print_stage("host", f"another model of that name lay here; it is {kept.name} now")
        for earlier in kept_runs.preserved_in(cargo.cycle.next):
            print_stage("kept", kept_runs.beside_verdict(earlier.as_dict(), cargo.cycle.clinic))
        return fetched

    def _order(self) -> None:
        """Ask for the host; its record tells before that what it costs, and on whose bill."""
        config, cost = self.config, self.planned.cost
        kind = cost.sku
        quote = self.host.quote(kind.gpu, kind.memory_gb, config.disk_gb, cost.usd_per_hour)
        if isinstance(self.planned.provider, SshHostSettings):
            # It is there already: what its Python cannot take is told before anything is begun.
            try:
                self._require_platform()
            except HostError as unfit:
                raise NothingCreatedError(str(unfit)) from unfit
        print_stage("host", f"asking for {self.host.name}: {quote.usd_per_hour:.2f} $ an hour")
        self.lease = replace(
            self.lease,
            usd_per_hour=quote.usd_per_hour,
            account=quote.account,
            started=time.time(),
        )
        leases.write(self.lease)
        self.host = self.lease.open()
        # Whoever has reached it sets a clock that ends earlier.
        self.host.provision(quote, 60 * config.limit_minutes + math.ceil(config.reach_s))

    def _begin(self) -> str:
        """The lease's folder on the host, whose clock runs from now on."""
        provider, limit_s = self.planned.provider, 60 * self.config.limit_minutes
        script = remote_scripts.begin(
            "asr-flywheel" if isinstance(provider, BrevSettings) else provider.folder,
            self.lease.lease,
            limit_s,
            provider.at_limit,
        )
        root, clock = self.host.connection.check(script).splitlines()[:2]
        print_stage("host", f"ends by itself after {self.config.limit_minutes} minutes ({clock})")
        return root

    def _check(self, root: str) -> None:
        found = remote_scripts.parse_look(self.host.connection.check(remote_scripts.look(root)))
        for line in found.lines():
            print_stage("host", line)
        self.hostname = found.hostname
        container = self.config.run.runtime is RuntimeName.CONTAINER
        bundle = self.planned.bundle
        remote_scripts.require(
            found,
            gpu=self.config.gpu_required,
            container=container,
            need_gib=self.config.need_gib + (bundle.need_gib if bundle else 0.0),
        )
        self._require_platform()

    def _require_platform(self) -> None:
        """Find the interpreter that an offline bundle is installed for."""
        if (bundle := self.planned.bundle) is not None:
            named = self.planned.provider.python
            self.interpreter = host_bundle.find_interpreter(self.host.connection, bundle, named)

    def _python(self, root: str) -> str:
        """The Python there that has this project; installs it where the user named none."""
        named = self.planned.provider.python
        connection = self.host.connection
        if (bundle := self.planned.bundle) is not None:
            place = host_bundle.HostPlace(connection, root, self.lease.lease)
            return host_bundle.install(place, bundle, self.interpreter, self.config.patience_s)
        if named is not None:
            connection.check(f"{named} -c 'import asr_flywheel.site.worker'", timeout_s=120)
            return named
        print_stage("host", "installing this project there")
        listed = subprocess.run(
            ["git", "-C", str(PROJECT), "ls-files", "-z"],  # noqa: S607 - whichever git is here
            capture_output=True,
            text=True,
            check=False,
        )
        names = [name for name in listed.stdout.split("\0") if name]
        if not names:
            raise HostError(
                f"{PROJECT}: is no checkout, so there is nothing to install on the host. Fix: "
                "install the project there, and name its Python."
            )
        connection.copy_to(PROJECT, names, f"{root}/project")
        local = self.config.run.runtime is RuntimeName.LOCAL
        script = remote_scripts.install(root, "[nemo]" if local else "")
        return connection.check(script, timeout_s=1800).split()[-1]

    def _told(self) -> dict[str, Any]:
        bundle = self.planned.bundle
        return {
            **({"bundle": bundle.content.bundle} if bundle else {}),
            "lease": self.lease.lease,
            "provider": self.planned.provider.provider,
            "sku": self.lease.sku,
            "host": self.lease.host,
            "hostname": self.hostname,
            "flow_run": self.lease.run,
            "usd_per_hour": self.lease.usd_per_hour,
        }
