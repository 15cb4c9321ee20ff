"""Start the process that sends outboxes, and end it in time."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tasks.records.tracking import sender

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.records.tracking.outbox import Outbox, SentState
    from tasks.records.tracking.server_target import TrackingTarget

_FINISH_S = 60.0


class SendingProcess:
    """A process that sends outboxes, the last of which may still grow."""

    def __init__(self, outboxes: Sequence[Outbox], target: TrackingTarget) -> None:
        self._outboxes, self._target = outboxes, target
        for outbox in outboxes:
            if not outbox.sent_path(target.uri).is_file():
                outbox.write_sent(outbox.read_sent(target.uri))
        self._process = subprocess.Popen(
            [sys.executable, "-m", sender.__name__, *(str(one.folder) for one in outboxes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=target.environment(),
        )

    def finish(self, seconds: float | None = _FINISH_S) -> list[SentState]:
        """Let it send what is there, and return what the server has of each outbox.

        Args:
            seconds: how long at most; None for as long as it takes.
        """
        with suppress(OSError):  # it has ended
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        states = self.states()
        if self._process.returncode not in {0, 1, -9}:
            for state in states:
                state.problem = (
                    f"the process that sends ended with exit code {self._process.returncode}"
                )
        return states

    def states(self) -> list[SentState]:
        """Return what the server has of each outbox."""
        return [outbox.read_sent(self._target.uri) for outbox in self._outboxes]


def describe(outbox: Outbox, state: SentState) -> str:
    """Say what a server has of an outbox."""
    outbox.lines()
    left = outbox.last - state.sent
    page = f"{state.uri}/#/experiments/{state.experiment}/runs/{state.run}"
    if left > 0:
        why = f": {state.problem}" if state.problem else ""
        return f"{left} of {outbox.last} entries are not sent yet{why}"
    if state.refused:
        first = state.refused[0]
        return (
            f"{page}; {len(state.refused)} entries were left out ({first['key']}: {first['why']})"
        )
    return page
