"""The owner's side of the program server: NeMo is imported once for all programs of a process.

A server belongs to the process that started it and ends with it, also if that is killed: the kernel
closes its socket. It never uses a GPU, so that programs that it forks can.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.common.processes import stop_group
from tasks.runtimes.base import ENTRY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PROGRAMS = (
    "launch_training.py",
    "transcribe.py",
    "interpolate.py",
    "mix_weights.py",
    "boost_strengths.py",
    "single_head.py",
    "word_confidence.py",
)
"""The entry programs that import NeMo, or a large part of it."""
SEPARATE_VARIABLE = "ASR_FLYWHEEL_SEPARATE_PROGRAMS"
"""If it is 1, each entry program starts an interpreter of its own."""
_SERVER = ENTRY / "program_server.py"
_END_S = 10.0
# What changes from job to job, and what no library reads when it is imported.
_UNREAD = ("PREFECT_", "PYTEST_", "ASR_FLYWHEEL_")
_UNREAD_NAMES = frozenset({"_", "PWD", "OLDPWD", "SHLVL"})


class ServerGoneError(Exception):
    """The server ended before it had begun the program."""


@dataclass(slots=True)
class ServedProgram:
    """A program that a server has forked.

    Attributes:
        pid: its process and its process group; 0 while the server has not begun it. Of a server in
            a container they are the container's.
        oom_kills: of a server in a container: processes that the kernel killed for its memory.
        server_is_gone: whether it ended because its server did.
    """

    _status: socket.socket
    pid: int = 0
    oom_kills: int = 0
    server_is_gone: bool = False
    _exit_code: int | None = field(default=None, repr=False)

    def has_begun(self, within_s: float) -> bool:
        """Wait for the server to begin the program; return whether it has.

        Raises:
            ServerGoneError: it never will.
        """
        if not self.pid:
            self._read(within_s)
            if not self.pid and self._exit_code is not None:
                raise ServerGoneError
        return bool(self.pid)

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the program runs."""
        if self._exit_code is None:
            self._read(0.0)
        return self._exit_code

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code of a program that ends in time.

        Raises:
            subprocess.TimeoutExpired: it does not.
        """
        if self._exit_code is None:
            self._read(timeout)
        if self._exit_code is None:
            raise subprocess.TimeoutExpired("a program of the server", timeout or 0.0)
        return self._exit_code

    def abandon(self) -> None:
        """Have the server end the program as soon as it has begun."""
        self._end(-signal.SIGKILL)

    def _read(self, timeout: float | None) -> None:
        self._status.settimeout(timeout)
        try:
            answer = self._status.recv(64)
        except (TimeoutError, BlockingIOError):
            return
        except ConnectionResetError:
            answer = b""
        # Programs do not outlive their server.
        self.server_is_gone = not answer
        values = json.loads(answer) if answer else {"exit": -signal.SIGKILL}
        self.pid = values.get("pid", self.pid)
        self.oom_kills = values.get("oom_kills", 0)
        if "exit" in values:
            self._end(values["exit"])

    def _end(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._status.close()


def send_program(server: socket.socket, request: Mapping[str, Any], log: int) -> ServedProgram:
    """Have the server behind a socket run a program, with its output in an open file.

    Args:
        server: the owner's end.
        request: as tasks/entrypoints/program_server.py reads it.
        log: the open file.

    Raises:
        ServerGoneError: the server has ended.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, tempfile.TemporaryFile("w+", encoding="utf-8") as stream:
        json.dump(request, stream)
        stream.flush()
        stream.seek(0)
        try:
            socket.send_fds(server, [b"run"], [stream.fileno(), log, theirs.fileno()])
        except OSError as error:
            ours.close()
            raise ServerGoneError from error
    return ServedProgram(ours)


class ProgramServer:
    """A process that has imported NeMo and forks programs."""

    def __init__(self, python: str, environment: Mapping[str, str]) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # The kernel's signal at a parent's death is for the death of the thread that started a
        # process, and a flow's tasks run in threads: the closed socket ends the server instead.
        self._process = subprocess.Popen(
            [python, str(_SERVER), str(other.fileno())],
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            cwd=tempfile.gettempdir(),
            start_new_session=True,
        )
        other.close()
        self._programs: list[ServedProgram] = []

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def is_busy(self) -> bool:
        """Whether a program of it runs."""
        return any(program.poll() is None for program in self._programs)

    def send(
        self, argv: Sequence[str], cwd: str, environment: Mapping[str, str], log: int
    ) -> ServedProgram:
        """Have a program run, with its output in an open file.

        Raises:
            ServerGoneError: the server has ended.
        """
        request = {"argv": list(argv), "cwd": cwd, "env": dict(environment)}
        program = send_program(self._socket, request, log)
        self._programs = [one for one in self._programs if one.poll() is None] + [program]
        return program

    def forget(self) -> None:
        """Let go of a server that another process owns."""
        self._socket.close()
        self._process.returncode = 0  # nothing to wait for, or to warn of

    def close(self) -> None:
        """End the server, and the programs that it still runs."""
        self._socket.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        stop_group(self._process)


_servers: dict[tuple[str, frozenset[tuple[str, str]]], ProgramServer] = {}
_servers_lock = threading.Lock()


def start(
    python: str, environment: Mapping[str, str], argv: Sequence[str], cwd: str, log: int
) -> ServedProgram:
    """Have a program run in this process's server of an interpreter and environment.

    Servers of other environments end, if they have nothing to do: each holds NeMo in memory.

    Args:
        python: the interpreter that has NeMo.
        environment: the program's.
        argv: the program's path and its arguments.
        cwd: its working directory.
        log: the open file that takes its output.

    Raises:
        ServerGoneError: the server has ended.
    """
    with _servers_lock:
        return _server(python, environment).send(argv, cwd, environment, log)


def prepare(python: str, environment: Mapping[str, str]) -> None:
    """Start the server of an interpreter and environment, which takes a while to import NeMo."""
    with _servers_lock:
        _server(python, environment)


def _server(python: str, environment: Mapping[str, str]) -> ProgramServer:
    """Return the server of an interpreter and environment; the lock is the caller's."""
    read = {
        (name, value)
        for name, value in environment.items()
        if name not in _UNREAD_NAMES and not name.startswith(_UNREAD)
    }
    key = (python, frozenset(read))
    for other in [k for k, one in _servers.items() if not one.is_alive or k != key]:
        if not _servers[other].is_busy:
            _servers.pop(other).close()
    if key not in _servers:
        _servers[key] = ProgramServer(python, environment)
    return _servers[key]


def close_all() -> None:
    """End all servers of this process."""
    with _servers_lock:
        while _servers:
            _servers.popitem()[1].close()


def serves(program: str, programs: Path) -> bool:
    """Return whether a program of a folder of entry programs runs in a server."""
    return programs == ENTRY and program in PROGRAMS and not are_separate()


def are_separate() -> bool:
    """Return whether the user wants each program in an interpreter of its own."""
    return os.environ.get(SEPARATE_VARIABLE) == "1"


def _forget_all() -> None:
    """Leave the servers to the process that started them: a fork of it must not keep them alive."""
    global _servers_lock  # noqa: PLW0603 - a thread that is not in the fork may hold the old one
    _servers_lock = threading.Lock()
    for server in _servers.values():
        server.forget()
    _servers.clear()


atexit.register(close_all)
os.register_at_fork(after_in_child=_forget_all)
