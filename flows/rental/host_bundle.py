"""An offline bundle on a rented host: checked here, sent in parts, installed without an index."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from flows.config_fields import RuntimeName
from flows.console import print_stage
from flows.deployment_names import PROJECT
from tasks.airgap import sendable_bundle
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.common.shell_words import in_shell
from tasks.gpu_hosts import gpu_prices, remote_scripts
from tasks.gpu_hosts.host_settings import BrevSettings, SshHostSettings
from tasks.gpu_hosts.ssh import HostError, retry_connection
from tasks.models import catalog

if TYPE_CHECKING:
    from flows.rental.config import RentConfig
    from tasks.airgap.sendable_bundle import SendableBundle
    from tasks.gpu_hosts.gpu_prices import CostShape
    from tasks.gpu_hosts.remote_scripts import HostPlatform
    from tasks.gpu_hosts.ssh import Connection

_GIB = 2**30
_INSTALL_S = 1800.0
# ssh, TCP and what else uses the line.
_USABLE_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """A checked bundle, and what sending it costs.

    Attributes:
        content: the bundle.
        send_minutes: on the line that the user named; None if nobody knows.
        fetched: what the host still gets from a network, in words.
    """

    content: SendableBundle
    send_minutes: float | None
    fetched: tuple[str, ...]

    @property
    def need_gib(self) -> float:
        """The disk for its parts and for what is installed of them, in GiB."""
        return (self.content.bytes + self.content.installed_bytes) / _GIB

    def lines(self) -> list[str]:
        """Return what a person is told before the YES."""
        about = self.content.about
        size = f"{self.content.bytes / 1e9:.2f} GB"
        if self.send_minutes is None:
            minutes = 1e9 * 8 / (100e6 * _USABLE_SHARE) / 60
            sending = (
                f"{size} to send while the host costs; no --upload-mbit, so the minutes above are "
                f"without that ({minutes:.1f} minutes for each GB at 100 Mbit/s)"
            )
        else:
            sending = f"{size}, about {self.send_minutes:.0f} minutes to send, included above"
        lines = [
            f"offline bundle {self.content.bundle[:12]}: {sending}",
            f"the host must have Python {about.python} on {about.machine}"
            + (f", and glibc 2.{self.content.glibc}" if self.content.glibc else ""),
        ]
        return lines + [f"not in the bundle: {what}" for what in self.fetched]


@dataclass(frozen=True, slots=True)
class HostPlace:
    """The folder of a lease on its host."""

    connection: Connection
    root: str
    lease: str


def plan_bundle(config: RentConfig, provider: SshHostSettings | BrevSettings) -> BundlePlan | None:
    """Check the bundle of a rental, if there is one; calls nobody.

    Raises:
        InputError: it cannot be installed on the host, or not in time.
    """
    if not config.bundle:
        return None
    run = config.run
    contained = run.runtime is RuntimeName.CONTAINER
    # What a user's own host has, only the host knows.
    machine = gpu_prices.MACHINE if isinstance(provider, BrevSettings) else None
    content = sendable_bundle.check_for_host(
        config.bundle, PROJECT, machine=machine, trains=not contained, gpu=config.gpu_required
    )
    minutes = None
    if config.upload_mbit is not None:
        minutes = content.bytes * 8 / (config.upload_mbit * 1e6 * _USABLE_SHARE) / 60
        if minutes >= config.limit_minutes:
            raise InputError(
                f"{name_of('bundle')}: takes about {minutes:.0f} minutes to send at "
                f"{config.upload_mbit:g} Mbit/s, and the host ends itself after "
                f"{config.limit_minutes}. Fix: a larger {name_of('limit_minutes')}, or no "
                f"{name_of('bundle')}: the host then fetches packages by itself."
            )
    fetched = []
    if contained and not content.has_image(image := run.container.image):
        fetched.append(f"image {image}, unless the host has it")
    base = catalog.in_catalogue(run.base)
    if base is not None and not content.has_base(base.name):
        fetched.append(f"base {base.name}, unless the host has it")
    return BundlePlan(content, minutes, tuple(fetched))


def add_sending(cost: CostShape, bundle: BundlePlan, limit_minutes: int) -> CostShape:
    """Return the costs of a run with the time that its bundle takes to be sent."""
    minutes = cost.minutes + (bundle.send_minutes or 0.0)
    warnings = cost.warnings
    if minutes > limit_minutes:
        late = f"the host ends itself after {limit_minutes} minutes, before the run has ended"
        warnings += (f"{late}; take a larger --limit-minutes",)
    return replace(cost, minutes=minutes, warnings=warnings)


def find_interpreter(connection: Connection, bundle: BundlePlan, named: str | None) -> str:
    """Return the host's interpreter that the bundle's wheels are for.

    Args:
        connection: to the host.
        bundle: that is to be installed.
        named: the user's choice, if there is one.

    Raises:
        HostError: none of them fits.
    """
    about = bundle.content.about
    asked = [named] if named else [f"python{about.python}", "python3"]
    said = connection.check(remote_scripts.look_at_platform(asked))
    found = remote_scripts.parse_platform(said)
    return choose_interpreter(connection.settings.destination, found, bundle)


def choose_interpreter(host: str, found: HostPlatform, bundle: BundlePlan) -> str:
    """Choose the interpreter that the bundle's wheels are for.

    Args:
        host: its name, for messages.
        found: on it.
        bundle: that is to be installed.

    Raises:
        HostError: processor, C library or Python do not fit.
    """
    about = bundle.content.about
    if found.machine != about.machine:
        raise HostError(
            f"{host}: is {found.machine}, and the bundle is for {about.machine}. Fix: asr-flywheel "
            f"bundle make --machine {in_shell(found.machine)}."
        )
    needed = bundle.content.glibc
    minor = found.glibc.removeprefix("2.")
    if minor.isdigit() and int(minor) < needed:
        raise HostError(
            f"{host}: has glibc {found.glibc}, and the bundle's wheels need 2.{needed}. Fix: "
            f"asr-flywheel bundle make --glibc {in_shell(found.glibc)}, or a host with a "
            "newer system."
        )
    for path, version in found.pythons:
        if version == about.python:
            return path
    versions = ", ".join(f"{path} is {version}" for path, version in found.pythons)
    raise HostError(
        f"{host}: has no Python {about.python} with its module venv, which the bundle is for "
        f"({versions or 'no Python was found'}). Fix: install it there, name it with --python, or "
        "make the bundle with --python of the host's version."
    )


def install(place: HostPlace, bundle: BundlePlan, python: str, patience_s: float) -> str:
    """Send a bundle and install it without an index; again sends what is not there yet.

    Args:
        place: the lease's folder.
        bundle: to install.
        python: the host's interpreter; see ``find_interpreter``.
        patience_s: how long the connection may be gone.

    Returns:
        The Python of the new environment, on the host.

    Raises:
        HostError: it did not arrive, or cannot be installed.
    """
    content = bundle.content
    for number, part in enumerate(content.folders, start=1):
        target = f"{place.root}/bundle/part-{number}"
        names = sendable_bundle.list_files(part)
        size = sum((part / name).stat().st_size for name in names)
        begun = time.monotonic()
        make = partial(place.connection.check, f'mkdir -p "{target}"')
        retry_connection(make, patience_s)
        retry_connection(partial(place.connection.copy_to, part, names, target), patience_s)
        seconds = time.monotonic() - begun
        print_stage(
            "host",
            f"bundle: part {number} of {len(content.folders)} is there, {size / 1e6:.0f} MB in "
            f"{seconds:.0f} s",
        )
    print_stage("host", "installing the bundle there, without an index")
    script = remote_scripts.install_bundle(
        place.root, place.lease, content.bundle, python, len(content.folders)
    )
    step = partial(place.connection.check, script, timeout_s=_INSTALL_S)
    return retry_connection(step, patience_s).split()[-1]
