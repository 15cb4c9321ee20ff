"""How a signal ends a command: in seconds, in one line, with the exit code that shells expect."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import time
import warnings
from contextlib import contextmanager
from threading import Event, Thread, current_thread, main_thread
from typing import TYPE_CHECKING, TextIO

from asr_flywheel.run_server import (
    own_server_is_gone,
    server_answers,
    start_server_apart,
    without_heartbeat,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_ENDING = frozenset((signal.SIGINT, signal.SIGTERM))
LONGEST_S = 10.0
"""So long a run has to end its programs. Where its server is gone, nothing else is waited for."""
_LOOK_EVERY_S = 0.25
_AGAIN = "give the same command again"
_ENDED_BY_SIGNALS = frozenset({"serve", "worker"})
"""The commands that run until a signal comes: it is their end, and they clean up by themselves."""
FINISHED = "what is finished and the checkpoints"
ANSWERED = "what was answered"
_KEPT = {
    "import": "what is converted",
    "transcribe": "what is decoded",
    "sheet": "what is decoded",
    "validate-serving": ANSWERED,
}
_WAYS_ON = {
    "rehearse": f"{_AGAIN} with --resume to go on from the steps that passed",
    "rent": "`asr-flywheel rent --reap` gives back a host that is still out",
}


class SignalExit(SystemExit):
    """The end of the process by a signal; its code is 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number
        self.is_told = False


@contextmanager
def command_ended_by_signals(command: str) -> Iterator[None]:
    """End a command, whose work is the block, by SIGINT or SIGTERM as ``ended_by_signals`` does.

    Raises:
        SignalExit: a signal has come.
    """
    if command in _ENDED_BY_SIGNALS:
        yield
        return
    with ended_by_signals(_KEPT.get(command, ""), _WAYS_ON.get(command, ""), server_apart=False):
        yield


@contextmanager
def flow_ended_by_signals(kept: str = FINISHED) -> Iterator[None]:
    """End a flow of this process as ``ended_by_signals`` does, with a server of its own or without.

    Raises:
        SignalExit: a signal has come.
        FlywheelError: the server does not answer.
    """
    with server_answers(), ended_by_signals(kept), without_heartbeat():
        yield


@contextmanager
def ended_by_signals(
    kept: str = FINISHED,
    way_on: str = "",
    *,
    server_apart: bool = True,
) -> Iterator[None]:
    """End the block by SIGINT or SIGTERM with a line on how to go on, without a traceback.

    Prefect takes SIGTERM while a flow runs. It records the crash and then hands the signal on to
    the handler that was there before, which is ours. Who had a handler before us keeps it, and a
    signal that is ignored, as by `nohup`, stays ignored.

    In a block within another the inner one prints its line, and the outer one none.

    Args:
        kept: what the same command goes on from; "" where it begins anew.
        way_on: what a person can do, where it is not to give the same command again.
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
    way_on = way_on or (f"{_AGAIN} to go on from {kept}" if kept else _AGAIN)
    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)
    try:
        with _not_held_up_by_a_lost_server(way_on):
            yield
    except (KeyboardInterrupt, SignalExit) as ended:
        stop = ended if isinstance(ended, SignalExit) else SignalExit(signal.SIGINT)
        # What Prefect was about to await it never will.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        if not stop.is_told:
            _tell(stop.number, way_on, sys.stderr)
        stop.is_told = True
        raise stop from None
    finally:
        if before is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, before)


def _end(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # `timeout` sends it twice: to us, and to our group
    raise SignalExit(number)


def _tell(number: int, way_on: str, stream: TextIO) -> None:
    print(f"stopped by {signal.Signals(number).name}: {way_on}", file=stream, flush=True)


@contextmanager
def _not_held_up_by_a_lost_server(way_on: str) -> Iterator[None]:
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
                    _await_end(over, next(iter(found)), way_on)

    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        told.close()  # the thread reads nothing, and ends


def _await_end(over: Event, number: int, way_on: str) -> None:
    began, stream = time.monotonic(), sys.stderr
    while not over.wait(_LOOK_EVERY_S):
        if not own_server_is_gone():
            continue
        if sys.stderr is stream:
            # What Prefect says from here on is that it cannot reach it.
            sys.stderr = io.StringIO()
        if time.monotonic() - began > LONGEST_S:
            _tell(number, way_on, stream)
            os._exit(128 + number)
            return
