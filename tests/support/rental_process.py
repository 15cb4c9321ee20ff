"""A rental as a person starts it: in a process of its own, with a terminal to answer at."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.prefect_site import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_PROGRAM = """
import signal, sys
# As at a terminal: whoever starts this in the background hands on that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from flows.provision_gpu import provision_gpu
from flows.rental.config import RentConfig
try:
    print("ended:", provision_gpu(RentConfig.model_validate_json(sys.argv[1])).outcome, flush=True)
except Exception as wrong:
    print("raised:", type(wrong).__name__, wrong, flush=True)
    sys.exit(1)
"""


@dataclass
class Renting:
    """A process that rents.

    Attributes:
        process: itself.
        terminal: the person's end of its terminal.
        log: what it prints.
    """

    process: subprocess.Popen[bytes]
    terminal: int
    log: Path

    def type(self, text: str) -> None:
        """Answer at the terminal, once it asks."""
        wait_for(lambda: "Type YES" in self.said or self.process.poll() is not None, 120)
        os.write(self.terminal, text.encode())

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def says(self, text: str, seconds: float = 120) -> None:
        """Wait until it has printed something.

        Raises:
            AssertionError: it did not; holds what it did print.
        """
        try:
            wait_for(lambda: text in self.said or self.process.poll() is not None, seconds)
        except TimeoutError:
            raise AssertionError(f"no {text!r} in:\n{self.said}") from None
        assert text in self.said, self.said

    def ends(self, seconds: float = 240) -> int:
        """Its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.said) from None

    def interrupt(self) -> None:
        """Press Ctrl-C: all that the terminal has started hears it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill it, if it still runs, and whatever it has started here."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.terminal)


def start(
    line: Sequence[str], environment: Mapping[str, str], log: Path, *, tty: bool = True
) -> Renting:
    """Start a program whose standard input is a terminal, or is not."""
    ours, theirs = pty.openpty()
    with log.open("wb") as out:
        process = subprocess.Popen(
            line,
            env=dict(environment),
            stdin=theirs if tty else subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    os.close(theirs)
    return Renting(process, ours, log)


def flow(
    config: Mapping[str, Any], environment: Mapping[str, str], log: Path, *, tty: bool = True
) -> Renting:
    """Start the flow with parameters that the command line has no option for."""
    return start([sys.executable, "-c", _PROGRAM, json.dumps(config)], environment, log, tty=tty)
