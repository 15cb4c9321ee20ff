"""A host over SSH: run a script there, copy files to it and back, and let it reach a port of ours.

Everything goes through the user's own ssh and rsync, with their keys, agents and configuration: no
password or token passes through this program. A script travels on standard input, so that nothing
of it is on a command line, here or there.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import tenacity
from pydantic import Field

from tasks.common.errors import FlywheelError
from tasks.common.parameter_model import ParameterModel
from tasks.common.processes import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")
_ALLOCATED = re.compile(r"Allocated port (\d+) for remote forward")
# ssh's own exit code for a connection that failed or broke.
_SSH_FAILED = 255
# What rsync returns when its connection broke; 10 where it was writing, as on a fast line.
_RSYNC_BROKEN = (10, 12, 23, 30, 35, 255)
_TAIL = 15
_PAUSE_S = 2.0
# A try that fails because the host is away takes less, with all time-outs of ssh and rsync.
_WENT_WELL_S = 90.0
# What the host says once a tunnel stands, and how long it has for that beyond the time to connect.
_STANDS = "asr-flywheel-tunnel-stands"
_STANDS_S = 20.0


class HostError(FlywheelError):
    """The host refused, failed or cannot be reached."""


class ConnectionLostError(HostError):
    """The host cannot be reached, now or any more; a later try may succeed."""


def retry_connection(step: Callable[[], T], patience_s: float) -> T:
    """Do a step that may be done again until no outage stops it any more.

    Args:
        step: what is to be done.
        patience_s: how long an outage may last.

    Raises:
        ConnectionLostError: it lasts longer.
    """
    outage_since: float | None = None
    while True:
        step_start = time.monotonic()
        try:
            return step()
        except ConnectionLostError:
            now = time.monotonic()
            # What went well for so long has met another outage.
            if outage_since is None or now - step_start > _WENT_WELL_S:
                outage_since = now
            if now - outage_since > patience_s:
                raise
            time.sleep(min(_PAUSE_S, max(patience_s, 0.1)))


class SshSettings(ParameterModel):
    """Settings to reach a host by ssh."""

    destination: str = Field(
        title="Host",
        description="user@host, or a name of your ssh configuration.",
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@%+-]*$",
        examples=["user@host"],
    )
    port: int | None = Field(None, ge=1, le=65535, title="Port", description="Of sshd.")
    identity: Path | None = Field(
        None, title="Key", description="File of the private key; else ssh's own choice."
    )
    known_hosts: Path | None = Field(
        None, title="Known hosts", description="File with the host's key; else ssh's own."
    )
    config: Path | None = Field(
        None, title="ssh configuration", description="Instead of ~/.ssh/config."
    )
    new_host_key: bool = Field(
        False,
        title="Accept a new host key",
        description="Take an unknown host's key on first contact; a changed key is always refused.",
    )
    connect_s: int = Field(
        10, ge=1, le=300, title="Time to connect (s)", description="Before a try counts as failed."
    )

    def command(self, program: str = "ssh") -> list[str]:
        """Return the program with its options, without a destination."""
        checking = "accept-new" if self.new_host_key else "yes"
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": self.connect_s,
            "ServerAliveInterval": 5,
            "ServerAliveCountMax": 3,
            "StrictHostKeyChecking": checking,
            # A host's entry may share connections, as those that `brev refresh` writes do. A shared
            # one tells no port, ends with its owner, and outlives this program.
            "ControlMaster": "no",
            "ControlPath": "none",
            "LogLevel": "INFO",  # quieter, the port that the host has chosen is not told
            "RequestTTY": "no",
            "RemoteCommand": "none",
            "ForwardAgent": "no",  # nobody's keys are of use on a rented host
            **({"UserKnownHostsFile": self.known_hosts} if self.known_hosts else {}),
            **({"IdentitiesOnly": "yes"} if self.identity else {}),
        }
        line = [program]
        if self.config is not None:
            line += ["-F", str(self.config.expanduser())]
        if self.port is not None:
            line += ["-p", str(self.port)]
        if self.identity is not None:
            line += ["-i", str(self.identity.expanduser())]
        for name, value in options.items():
            line += ["-o", f"{name}={value}"]
        return line


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """A script that ended on the host."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Connection:
    """A host that is reached over SSH."""

    settings: SshSettings

    def run(self, script: str, *, timeout_s: float = 60.0) -> ScriptResult:
        """Run a POSIX shell script, which travels on standard input.

        Raises:
            ConnectionLostError: the host cannot be reached, or does not answer in time.
        """
        line = [*self.settings.command(), self.settings.destination, "sh -s"]
        try:
            process = subprocess.run(
                line, input=script, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as timeout:
            raise ConnectionLostError(
                f"{self.settings.destination}: no answer within {timeout_s:.0f} s."
            ) from timeout
        if process.returncode == _SSH_FAILED:
            raise ConnectionLostError(
                f"{self.settings.destination}: cannot be reached ({_last_lines(process.stderr)})."
            )
        return ScriptResult(process.returncode, process.stdout, process.stderr)

    def check(self, script: str, *, timeout_s: float = 60.0) -> str:
        """Run a script that must succeed; what it printed.

        Raises:
            HostError: it failed; holds the end of what it said.
            ConnectionLostError: the host cannot be reached.
        """
        result = self.run(script, timeout_s=timeout_s)
        if result.code != 0:
            raise HostError(
                f"{self.settings.destination}: a step on the host failed "
                f"(exit code {result.code}): {_last_lines(result.err or result.out)}"
            )
        return result.out

    def wait(self, seconds: float) -> None:
        """Wait until the host answers.

        Raises:
            ConnectionLostError: it does not in time; holds ssh's last words.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ConnectionLostError),
            stop=tenacity.stop_after_delay(seconds),
            wait=tenacity.wait_fixed(min(_PAUSE_S, seconds / 10)),
            reraise=True,
        )
        retrying(self.check, "true", timeout_s=self.settings.connect_s + 5)

    def copy_to(self, folder: Path, names: Iterable[str], target: str) -> None:
        """Copy some files below a folder to the same places below a folder of the host.

        Args:
            folder: here.
            names: paths below it.
            target: an absolute path there, made if need be.

        Raises:
            HostError: not all of them arrived.
        """
        listed = "".join(f"{name}\0" for name in names)
        arguments = ["--from0", "--files-from=-", "--copy-links", f"{folder}/"]
        self._rsync([*arguments, self._remote_path(target)], listed)

    def copy_back(self, source: str, target: Path, leave: Sequence[str] = ()) -> None:
        """Copy what is below a folder of the host to below a folder here.

        Args:
            source: an absolute path there.
            target: here, made if need be.
            leave: rsync patterns of what is not wanted.

        Raises:
            HostError: not everything arrived; what did stays, so that a second try goes on.
        """
        target.mkdir(parents=True, exist_ok=True)
        excludes = [f"--exclude={pattern}" for pattern in leave]
        self._rsync([*excludes, self._remote_path(source), f"{target}/"], "")

    def _remote_path(self, path: str) -> str:
        return f"{self.settings.destination}:{path}/"

    def _rsync(self, arguments: Sequence[str], stdin: str) -> None:
        # rsync splits -e at blanks and knows quotes, so that a path with a blank stays whole.
        shell = " ".join(f"'{part}'" if " " in part else part for part in self.settings.command())
        line = ["rsync", "-a", "-s", "--partial", "--timeout=60", "-e", shell, *arguments]
        try:
            process = subprocess.run(line, input=stdin, capture_output=True, text=True, check=False)
        except FileNotFoundError as absent:
            raise HostError("rsync is not installed here. Fix: apt-get install rsync.") from absent
        if process.returncode == 0:
            return
        kind = ConnectionLostError if process.returncode in _RSYNC_BROKEN else HostError
        raise kind(
            f"{self.settings.destination}: rsync failed (exit code {process.returncode}): "
            f"{_last_lines(process.stderr)}"
        )


@dataclass(slots=True)
class Tunnel:
    """A port of the host that leads to a port of ours, as long as its ssh lives.

    Attributes:
        settings: of the host.
        host: that the port here is of, usually 127.0.0.1.
        port: here.
        remote_port: there; chosen by the host at the first start and kept afterwards.
    """

    settings: SshSettings
    host: str
    port: int
    remote_port: int = 0
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def open(self) -> int:
        """Start it; the port there. Again, after it broke, it leads through the same port.

        Raises:
            ConnectionLostError: the host cannot be reached, does not answer in time, or the port
                there is taken.
        """
        self.close()
        line = [
            *end_with_parent(),
            *self.settings.command(),
            *("-o", "ExitOnForwardFailure=yes"),
            *("-R", f"127.0.0.1:{self.remote_port}:{self.host}:{self.port}"),
            self.settings.destination,
            # Forwards are settled before a command runs, so that its word means that they stand;
            # it ends with the connection.
            f"echo {_STANDS}; exec cat >/dev/null",
        ]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        reader = _StderrReader(self._process)
        deadline = time.monotonic() + self.settings.connect_s + _STANDS_S
        while time.monotonic() < deadline and self.alive:
            if reader.stands and (port := self.remote_port or reader.port):
                self.remote_port = port
                return port
            time.sleep(0.05)
        output = reader.text if self.alive else reader.final_text()
        self.close()
        raise ConnectionLostError(
            f"{self.settings.destination}: no tunnel to it ({_last_lines(output)})."
        )

    @property
    def alive(self) -> bool:
        """True if its ssh runs."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """End it; again is as good as once."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        if self.alive:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._process = None


class _StderrReader:
    """The output of an ssh, read as it comes: a full pipe would stop it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101 - both were asked for as pipes
        assert process.stderr is not None  # noqa: S101 - likewise
        self.stands = False
        self._lines: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_stdout, args=[process.stdout], daemon=True),
            threading.Thread(target=self._read_stderr, args=[process.stderr], daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_stdout(self, stream: IO[str]) -> None:
        with stream:
            for text in stream:
                # A login may print more than what it was asked for.
                self.stands = self.stands or text.strip() == _STANDS

    def _read_stderr(self, stream: IO[str]) -> None:
        with stream:
            for text in stream:
                self._lines = [*self._lines[-_TAIL:], text]

    @property
    def text(self) -> str:
        """The end of it so far."""
        return "".join(self._lines)

    def final_text(self) -> str:
        """Return the end of the output of an ssh that has ended."""
        for reader in self._readers:
            reader.join(1.0)
        return self.text

    @property
    def port(self) -> int:
        """The port that the host has chosen; 0 if it has not told it."""
        match = _ALLOCATED.search(self.text)
        return 0 if match is None else int(match[1])


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines[-_TAIL:]) or "it said nothing"
