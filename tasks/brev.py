"""NVIDIA Brev's command line: every command, flag and field of it that this project uses.

By its public documentation (docs.nvidia.com/brev/cli) and its source (brevdev/brev-cli, July 2026);
the specification's ``--gpu l40s:1 --image … --disk 200gi`` and ``brev ssh-config`` are no longer
there. Logging in (``brev login``) is the user's own business: no token passes through here.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from tasks.ssh import ConnectionLostError, HostError

# What it says of a host that is not (any more) there.
_NOT_FOUND = "not found"
_ANSWER_S = 120.0


@dataclass(frozen=True, slots=True)
class Offer:
    """An instance type that can be had now."""

    type: str
    cloud: str
    usd_per_hour: float
    disk_gb: float


@dataclass(frozen=True, slots=True)
class Instance:
    """A line of ``brev ls --json``."""

    name: str
    status: str
    build: str

    @property
    def ready(self) -> bool:
        """Whether it runs and is set up."""
        return self.status == "RUNNING" and self.build in {"COMPLETED", ""}


@dataclass(frozen=True, slots=True)
class Brev:
    """The program.

    Attributes:
        program: its name on the PATH, or its path.
        organisation: instead of the active one; empty: the active one.
    """

    program: str = "brev"
    organisation: str = ""

    def cheapest(self, gpu: str, disk_gb: int, *, stoppable: bool) -> Offer:
        """The cheapest type with such a GPU that can be had now.

        Args:
            gpu: as its search names it, such as L40S.
            disk_gb: at least.
            stoppable: whether it must be possible to stop and not delete it.

        Raises:
            HostError: there is none.
        """
        wanted = ["--gpu-name", gpu, "--min-disk", str(disk_gb), "--sort", "price", "--json"]
        found = self._json("search", *wanted, *(["--stoppable"] if stoppable else []))
        for one in found or []:
            # A search for A100 also finds other names that hold it; more GPUs cost more.
            if one["gpu_name"].upper() == gpu.upper() and one["gpu_count"] == 1:
                fixed = one["disk_min_gb"] == one["disk_max_gb"]
                disk = one["disk_min_gb"] if fixed else max(disk_gb, one["disk_min_gb"])
                return Offer(one["type"], one["cloud"], float(one["price_per_hour"]), disk)
        raise HostError(
            f"brev: no instance with one {gpu} and {disk_gb} GB of disk can be had now. "
            "Fix: try another SKU, or later."
        )

    def create(self, name: str, offer: Offer) -> None:
        """Ask for an instance of exactly this type, and do not wait for it.

        The type comes on standard input, as from a pipe of ``brev search --json``: ``--type`` would
        take no size of the disk.

        Raises:
            HostError: it refuses.
        """
        wanted = [{"type": offer.type, "target_disk_gb": offer.disk_gb}]
        self._run("create", name, "--detached", given=json.dumps(wanted))

    def instances(self) -> list[Instance]:
        """The user's instances.

        Raises:
            HostError: it cannot tell, for instance because nobody is logged in.
        """
        where = ["--org", self.organisation] if self.organisation else []
        found = self._json("ls", "--json", *where)["workspaces"] or []
        return [Instance(one["name"], one["status"], one.get("build_status", "")) for one in found]

    def find(self, name: str) -> Instance | None:
        """An instance by its name, if it is there."""
        return next((one for one in self.instances() if one.name == name), None)

    def start(self, name: str) -> None:
        """Start an instance that was stopped."""
        self._run("start", name, "--detached")

    def stop(self, name: str) -> None:
        """Stop an instance; its disk goes on costing."""
        self._run("stop", name)

    def delete(self, name: str) -> None:
        """Delete an instance with its disk; one that is not there is as good as deleted."""
        try:
            self._run("delete", name)
        except HostError as wrong:
            if _NOT_FOUND not in str(wrong):
                raise

    def refresh(self) -> None:
        """Write the ssh configuration entries of the instances that run."""
        self._run("refresh")

    def _json(self, *arguments: str) -> Any:  # noqa: ANN401 - checked where it is used
        said = self._run(*arguments)
        try:
            return json.loads(said)
        except ValueError as wrong:
            raise HostError(
                f"brev {arguments[0]}: not the JSON that was expected ({said[:200]!r}). "
                "Fix: is this version of brev newer than July 2026?"
            ) from wrong

    def _run(self, *arguments: str, given: str | None = None) -> str:
        try:
            done = subprocess.run(
                [self.program, *arguments],
                # Several of its commands read more names from a pipe, but none from /dev/null.
                **({"stdin": subprocess.DEVNULL} if given is None else {"input": given}),
                capture_output=True,
                text=True,
                timeout=_ANSWER_S,
                check=False,
            )
        except FileNotFoundError as absent:
            raise HostError(f"{self.program}: not installed.") from absent
        except subprocess.TimeoutExpired as late:
            raise ConnectionLostError(
                f"brev {arguments[0]}: no answer within {_ANSWER_S:.0f} s."
            ) from late
        if done.returncode != 0:
            raise HostError(f"brev {arguments[0]}: {(done.stderr or done.stdout).strip()}")
        return done.stdout
