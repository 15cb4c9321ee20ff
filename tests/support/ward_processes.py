"""The ward server as a process on loopback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "a-token-of-this-test"  # noqa: S105 - of tests
_PATIENCE_S = 120
REQUIREMENTS = Path(__file__).parents[2] / "deployments" / "ward" / "requirements.txt"
_PROGRAM = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {without}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
runpy.run_module("asr_flywheel.commands.serve", run_name="__main__", alter_sys=True)
"""


def modules_beyond_image() -> frozenset[str]:
    """The installed top-level modules that the image does not get."""
    found: set[str] = set()
    waiting = [
        line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")
    ]
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate()):
            continue
        found.add(name)
        waiting += metadata.requires(name) or []
    return frozenset(
        module
        for module, owners in metadata.packages_distributions().items()
        if not any(canonicalize_name(owner) in found for owner in owners)
        and module not in {"asr_flywheel", "tasks"}
    )


@dataclass
class WardProcess:
    """A running server.

    Attributes:
        process: its process.
        lines: what it has logged.
        temporary: the only folder that it finds for temporary files.
    """

    process: subprocess.Popen[str]
    temporary: Path
    lines: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Its base address, once it listens."""
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end and self.process.poll() is None:
            for line in self.lines:
                if found := re.search(r" at (http://\S+)/v1$", line):
                    return found[1]
            time.sleep(0.05)
        raise AssertionError("\n".join(self.lines))

    @property
    def memory_mib(self) -> float:
        """Its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def limit(self, name: str) -> str:
        """A limit that the kernel holds it to."""
        limits = Path(f"/proc/{self.process.pid}/limits").read_text()
        return limits.partition(name)[2].split()[0]

    def files_open_to_write(self) -> list[str]:
        """The regular files that it could write to now."""
        found = []
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                target = descriptor.readlink()
                info = Path(f"/proc/{self.process.pid}/fdinfo/{descriptor.name}").read_text()
            except OSError:
                continue  # closed meanwhile
            flags = int(info.partition("flags:")[2].split()[0], 8)
            if flags & (os.O_WRONLY | os.O_RDWR) and target.is_file():
                found.append(str(target))
        return found

    def end(self) -> int:
        """Send the signal that ends it, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE_S)


@contextmanager
def running(
    bundle: Path, temporary: Path, *options: str, without: frozenset[str] = frozenset()
) -> Iterator[WardProcess]:
    """Run a server on a free port; its log goes into a pipe, as a container's does.

    Args:
        bundle: what it serves.
        temporary: folder for temporary files.
        options: of the command.
        without: top-level modules that it does not find.
    """
    program = _PROGRAM.format(without=sorted(without))
    line = [sys.executable, "-c", program, str(bundle), "--port", "0", *options]
    environment = {
        **os.environ,
        "ASR_FLYWHEEL_SERVER_TOKEN": TOKEN,
        "TMPDIR": str(temporary),
        "OMP_WAIT_POLICY": "passive",
    }
    with subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        ward = WardProcess(process, temporary)
        reading = threading.Thread(target=_read, args=(ward,), daemon=True)
        reading.start()
        try:
            yield ward
        finally:
            process.kill()
            process.wait()
            reading.join()


def _read(ward: WardProcess) -> None:
    assert ward.process.stdout is not None
    for line in ward.process.stdout:
        ward.lines.append(line.rstrip())
