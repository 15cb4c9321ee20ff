"""How a signal ends a command: in seconds, in one line, with the exit code that shells expect."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import time
from contextlib import contextmanager
from threading import Event, Thread, current_thread, main_thread
from typing import TYPE_CHECKING, TextIO

from asr_flywheel.run_server import own_server_is_gone, start_server_apart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_ENDING = frozenset((signal.SIGINT, signal.SIGTERM))
LONGEST_S = 10.0
"""So long a run has to end its programs. Where its server is gone, nothing else is waited for."""
_LOOK_EVERY_S = 0.25


class SignalExit(SystemExit):
    """The end of the process by a signal; its code is 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


@contextmanager
def ended_by_signals(
    kept: str = "what is finished and the checkpoints", *, server_apart: bool = True
) -> Iterator[None]:
    """End the block by SIGINT or SIGTERM with a line on how to go on, without a traceback.

    Prefect takes SIGTERM while a flow runs. It records the crash and then hands the signal on to
    the handler that was there before, which is ours. Who had a handler before us keeps it, and a
    signal that is ignored, as by `nohup`, stays ignored.

    Args:
        kept: what the same command goes on from.
        server_apart: whether the run's own server is kept out of the signal's way here; the import
            that this takes may be made elsewhere.

    Raises:
        SignalExit: a signal has come.
    """
    if current_thread() is not main_thread():  # where no handler can be set
        yield
        return
    if server_apart:
        start_server_apart()
    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)
    try:
        with _not_held_up_by_a_lost_server(kept):
            yield
    except KeyboardInterrupt:
        _tell(signal.SIGINT, kept, sys.stderr)
        raise SignalExit(signal.SIGINT) from None
    except SignalExit as ended:
        _tell(ended.number, kept, sys.stderr)
        raise SignalExit(ended.number) from None
    finally:
        if before is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, before)


def _end(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # `timeout` sends it twice: to us, and to our group
    raise SignalExit(number)


def _tell(number: int, kept: str, stream: TextIO) -> None:
    name = signal.Signals(number).name
    print(
        f"stopped by {name}: give the same command again to go on from {kept}",
        file=stream,
        flush=True,
    )


@contextmanager
def _not_held_up_by_a_lost_server(kept: str) -> Iterator[None]:
    """End the process some seconds after a signal if it waits for its own server, which is gone.

    Prefect asks such a server again for minutes, and prints a trace each time. Whoever stops a
    whole job, such as systemd or Slurm, stops the server with the run.
    """
    come, told = socket.socketpair()
    told.setblocking(False)
    over = Event()

    def watch() -> None:
        with come:
            while not over.is_set():
                if found := _ENDING & set(come.recv(64)):
                    _await_end(over, next(iter(found)), kept)

    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        told.close()  # the thread reads nothing, and ends


def _await_end(over: Event, number: int, kept: str) -> None:
    began, stream = time.monotonic(), sys.stderr
    while not over.wait(_LOOK_EVERY_S):
        if not own_server_is_gone():
            continue
        if sys.stderr is stream:
            # What Prefect says from here on is that it cannot reach it.
            sys.stderr = io.StringIO()
        if time.monotonic() - began > LONGEST_S:
            _tell(number, kept, stream)
            os._exit(128 + number)
            return
