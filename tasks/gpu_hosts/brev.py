"""NVIDIA Brev's command line: every command, flag and field of it that this project uses.

By its public documentation (docs.nvidia.com/brev/cli) and its source (brevdev/brev-cli, July 2026);
the specification's ``--gpu l40s:1 --image … --disk 200gi`` and ``brev ssh-config`` are no longer
there. Logging in (``brev login``) is the user's own business: no token passes through here.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.gpu_hosts.ssh import ConnectionLostError, HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What it says where it was logged in with a key, which belongs to one organisation.
_BY_KEY = "api key auth"
_ANSWER_S = 120.0
# A card's memory is told rounded, and the next smaller card has half.
_SAME_CARD = 0.9


@dataclass(frozen=True, slots=True)
class Offer:
    """An instance type that can be had now."""

    type: str
    cloud: str
    usd_per_hour: float
    disk_gb: float


@dataclass(frozen=True, slots=True)
class Organisation:
    """A line of ``brev ls orgs --json``; create, delete and ls work in the active one only."""

    id: str
    name: str
    active: bool


@dataclass(frozen=True, slots=True)
class Instance:
    """A line of ``brev ls --json``."""

    name: str
    status: str
    build: str

    @property
    def ready(self) -> bool:
        """True if it runs and is set up."""
        return self.status == "RUNNING" and self.build in {"COMPLETED", ""}


@dataclass(frozen=True, slots=True)
class Brev:
    """The program.

    Attributes:
        program: its name on the PATH, or its path.
    """

    program: str = "brev"

    def organisations(self) -> list[Organisation]:
        """List the user's organisations; none with an API key, which knows only its own.

        Raises:
            HostError: it cannot tell, for instance because nobody is logged in.
        """
        try:
            organisations = self._json("ls", "orgs", "--json")
        except HostError as wrong:
            if _BY_KEY in str(wrong).lower():
                return []
            raise
        with _check_output("ls orgs"):
            return [
                Organisation(
                    str(organisation["id"]),
                    str(organisation["name"]),
                    organisation["is_active"] is True,
                )
                for organisation in organisations
            ]

    def cheapest(self, gpu: str, memory_gb: int, disk_gb: int) -> Offer:
        """Find the cheapest type with one such GPU that can be had now.

        Args:
            gpu: as its search names it, such as L40S.
            memory_gb: of the GPU: there are A100s with 40 GB and with 80.
            disk_gb: at least.

        Raises:
            HostError: there is none.
        """
        query = ["--gpu-name", gpu, "--min-disk", str(disk_gb), "--sort", "price", "--json"]
        offers = self._json("search", *query)
        with _check_output("search"):
            for offer in offers or []:
                # A search for A100 also finds other names that hold it; more GPUs cost more.
                fits = offer["vram_per_gpu_gb"] >= _SAME_CARD * memory_gb
                if offer["gpu_name"].upper() == gpu.upper() and offer["gpu_count"] == 1 and fits:
                    fixed = offer["disk_min_gb"] == offer["disk_max_gb"]
                    disk = offer["disk_min_gb"] if fixed else max(disk_gb, offer["disk_min_gb"])
                    return Offer(
                        offer["type"], offer["cloud"], float(offer["price_per_hour"]), disk
                    )
        raise HostError(
            f"brev: no instance with one {gpu} of {memory_gb} GB and {disk_gb} GB of disk can be "
            "had now. Fix: try another SKU, or later."
        )

    def create(self, name: str, offer: Offer, at_boot: str = "") -> None:
        """Ask for an instance of exactly this type, and do not wait for it.

        The type comes on standard input, as from a pipe of ``brev search --json``: ``--type`` would
        take no size of the disk.

        Args:
            name: of the instance.
            offer: what is asked for.
            at_boot: a script that the instance runs when it boots.

        Raises:
            HostError: it refuses, or does not answer: an instance may come all the same.
        """
        types = [{"type": offer.type, "target_disk_gb": offer.disk_gb}]
        script = ["--startup-script", at_boot] if at_boot else []
        self._run("create", name, "--detached", *script, stdin=json.dumps(types))

    def instances(self) -> list[Instance]:
        """List the instances of the active organisation, also those of its other users.

        Raises:
            HostError: it cannot tell, for instance because nobody is logged in.
        """
        listing = self._json("ls", "--json", "--all")
        with _check_output("ls"):
            return [
                Instance(workspace["name"], workspace["status"], workspace.get("build_status", ""))
                for workspace in listing["workspaces"] or []
            ]

    def find(self, name: str) -> Instance | None:
        """Find an instance by its name; None if there is none."""
        return next((instance for instance in self.instances() if instance.name == name), None)

    def delete(self, name: str) -> None:
        """Delete an instance with its disk.

        Raises:
            HostError: it refuses, or finds no such instance among the user's own.
        """
        self._run("delete", name)

    def refresh(self) -> None:
        """Write the ssh configuration entries of the instances that run."""
        self._run("refresh")

    def _json(self, *arguments: str) -> Any:  # noqa: ANN401 - checked where it is used
        output = self._run(*arguments)
        try:
            return json.loads(output)
        except ValueError as wrong:
            raise HostError(
                f"brev {arguments[0]}: not the JSON that was expected ({output[:200]!r}). "
                "Fix: is this version of brev newer than July 2026?"
            ) from wrong

    def _run(self, *arguments: str, stdin: str | None = None) -> str:
        try:
            process = subprocess.run(
                [self.program, *arguments],
                # Several of its commands read more names from a pipe, but none from /dev/null.
                **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}),
                capture_output=True,
                text=True,
                timeout=_ANSWER_S,
                check=False,
            )
        except FileNotFoundError as absent:
            raise HostError(f"{self.program}: not installed.") from absent
        except subprocess.TimeoutExpired as timeout:
            raise ConnectionLostError(
                f"brev {arguments[0]}: no answer within {_ANSWER_S:.0f} s."
            ) from timeout
        if process.returncode != 0:
            raise HostError(f"brev {arguments[0]}: {(process.stderr or process.stdout).strip()}")
        return process.stdout


@contextmanager
def _check_output(command: str) -> Iterator[None]:
    """Raise an error of the host if Brev's output has another form than is read here.

    Raises:
        HostError: it has not.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as wrong:
        raise HostError(
            f"brev {command}: told something else than was expected ({wrong!r}). "
            "Fix: is this version of brev newer than July 2026?"
        ) from wrong
