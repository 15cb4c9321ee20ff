"""The Prefect server of a command's own run."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from tasks.common.errors import FlywheelError

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SETTING = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
"""Prefect's setting of how long it waits for the server that a run starts for itself."""
PATIENCE_S = 300
"""How long we wait, where the user has not said; a server that has ended is not waited for."""
_ENDED = "process exited with code"
_LOOK_EVERY_S = 0.5
# Ends a process once its own standard input is closed: by us at the end, or by the kernel where
# this process was killed.
_WATCH = """
import os, signal, sys
process = os.pidfd_open(int(sys.argv[1]))
sys.stdin.read()
signal.pidfd_send_signal(process, signal.SIGTERM)
"""


@contextmanager
def server_answers() -> Iterator[None]:
    """Turn Prefect's words on a server that is out of reach into an error with its fix.

    A server of the run's own ends with this process, also where it is killed.

    Raises:
        FlywheelError: the server does not answer.
    """
    try:
        with _own_server_ends_with_us():
            yield
    except RuntimeError as wrong:
        # Prefect has no class of its own for these.
        if "Failed to reach API" in str(wrong):
            raise FlywheelError(
                f"Prefect: {wrong} Fix: start the server that PREFECT_API_URL names, or unset it."
            ) from wrong
        if "ephemeral Prefect API" in str(wrong):
            raise FlywheelError(_explain_own_server(str(wrong))) from wrong
        raise


@contextmanager
def _own_server_ends_with_us() -> Iterator[None]:
    """Have a process watch over the server that Prefect starts in the block, if it starts one."""
    over = Event()

    def watch() -> None:
        while not over.wait(_LOOK_EVERY_S):
            if (server := _own_server()) is not None and server.poll() is None:
                _watch_over(server.pid)
                return

    Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch_over(pid: int) -> None:
    """Start what ends a process with this one, once for each process."""
    if pid not in _watched:
        _watched[pid] = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCH, str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


class _StartsApart:
    """The module subprocess, but for processes that start in a session of their own."""

    def __getattr__(self, name: str) -> object:
        return getattr(subprocess, name)

    def Popen(self, *given: Any, **named: Any) -> subprocess.Popen[Any]:  # noqa: ANN401, N802 - as it is there
        """Start a process apart; it ends with this one."""
        process = subprocess.Popen(*given, **{**named, "start_new_session": True})
        _watch_over(process.pid)
        return process


def start_server_apart() -> None:
    """Have Prefect start a server of the run's own where a signal to the run's group misses it.

    A run that is stopped tells its server so. A server that got the signal as well would be gone
    by then. Where PREFECT_API_URL names a server there is none to start.
    """
    from flows import prefect_helpers  # noqa: PLC0415 - imports Prefect

    if prefect_helpers.is_named():
        return
    from prefect.server.api import server  # noqa: PLC0415 - slow; Prefect would import it next

    if getattr(server, "subprocess", None) is subprocess:
        server.subprocess = _StartsApart()  # type: ignore[attr-defined,assignment]  # its only users are there


def own_server_is_gone() -> bool:
    """Return whether Prefect has started a server for this process that has ended since."""
    server = _own_server()
    return server is not None and server.poll() is not None


_watched: dict[int, subprocess.Popen[bytes]] = {}


def _own_server() -> subprocess.Popen[bytes] | None:
    """Return the process of the server that Prefect has started for this one, if it has."""
    # Loaded where such a server was started, and slow to load where none was.
    module = sys.modules.get("prefect.server.api.server")
    servers = getattr(module, "SubprocessASGIServer", None)
    with suppress(Exception):  # while Prefect imports it
        return None if servers is None else servers().server_process
    return None


def _explain_own_server(told: str) -> str:
    """Return why the run's own server did not answer, with its fix: it ended, or it is slow."""
    if _ENDED in told:
        return (
            f"Prefect: {told} The run's own server ended while it started. Fix: PREFECT_HOME must "
            "be a folder that you may write to, on a disk with room; what the server said is "
            "shown by `prefect server start`."
        )
    waited = os.environ.get(TIMEOUT_SETTING, "20")
    return (
        f"Prefect: {told} The run's own server was still starting after {waited} s, as on a busy "
        f"host. Fix: wait longer for it, such as {TIMEOUT_SETTING}={_longer(waited)}; or start a "
        "server once (`prefect server start`) and name it in PREFECT_API_URL."
    )


def _longer(waited: str) -> int:
    return max(2 * PATIENCE_S, 2 * int(waited) if waited.isdigit() else 0)


@contextmanager
def without_heartbeat() -> Iterator[None]:
    """Stop flows in the block from sending heartbeats to a server of the run's own.

    It ends with the run, so that nobody is left to miss one; the heartbeat's thread ends up to a
    second after its flow, and Prefect waits for it.
    """
    from prefect.settings import (  # noqa: PLC0415 - slow
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    from flows import prefect_helpers  # noqa: PLC0415 - imports Prefect

    updates = {} if prefect_helpers.is_named() else {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(updates=updates):
        yield


@contextmanager
def start_server_in_background() -> Iterator[None]:
    """Have Prefect start the run's own server while the block prepares the run.

    Where PREFECT_API_URL names a server there is none to start.
    """
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - slow

    failed: list[Exception] = []

    def start() -> None:
        try:
            start_server_apart()
            # Making a client is what starts it; the run finds it up.
            get_client(sync_client=True)
        except Exception as wrong:  # noqa: BLE001 - raised below, where it can be handled
            failed.append(wrong)

    # A daemon: what the block raises, Ctrl-C too, does not wait for a server that nobody needs.
    starting = Thread(target=start, daemon=True)
    starting.start()
    yield
    while starting.is_alive():
        starting.join(_LOOK_EVERY_S)
        _check_process()
    if failed:
        raise failed[0]


def _check_process() -> None:
    """Raise where the run's own server has ended, which Prefect notices only when its time is up.

    Raises:
        RuntimeError: in Prefect's words.
    """
    process = _own_server()
    code = None if process is None else process.poll()
    # With 3 it ends where its port was taken; Prefect takes another.
    if code not in {None, 3}:
        raise RuntimeError(
            f"The ephemeral Prefect API server did not start. Ephemeral server {_ENDED} {code}."
        )
