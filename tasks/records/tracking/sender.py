"""The program that sends outboxes while a run goes on: ``python -m tasks.records.tracking.sender``.

Usage: sender.py OUTBOX…, where the last one is followed. The server's address and credentials come
by the environment. It ends when its standard input is closed: then it sends what is there, once. So
neither a server that is down nor one that does not answer holds up the run that started it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from tasks.records.tracking.outbox import Outbox, OutboxBusyError
from tasks.records.tracking.server_target import URI_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow.tracking import MlflowClient

_LOOK_EVERY_S = 1.0
_LONGEST_WAIT_S = 30.0


def send_outbox(client: MlflowClient, outbox: Outbox, uri: str) -> bool:
    """Send one outbox, and note why where it does not work.

    Returns:
        Whether the server has all of it.
    """
    from tasks.records.tracking import delivery  # noqa: PLC0415 - MLflow takes seconds to import

    try:
        with outbox.sending():
            state = outbox.read_sent(uri)
            try:
                delivery.Delivery(client, outbox, state).send()
            except Exception as failed:  # noqa: BLE001 - the run goes on whatever it is
                state.problem = (
                    str(failed)
                    if isinstance(
                        failed,
                        (delivery.TrackingOutageError, delivery.TrackingRefusedError),
                    )
                    else f"{type(failed).__name__}: {str(failed)[:300]}"
                )
                outbox.write_sent(state)
                return False
            return state.sent >= outbox.last
    except OutboxBusyError:
        return False


def follow(outboxes: Sequence[Outbox], uri: str, closed: Event) -> bool:
    """Send what comes until the run that writes it has ended.

    Returns:
        Whether the server has all of it.
    """
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - as above

    client = MlflowClient(uri, uri)
    wait = _LOOK_EVERY_S
    while True:
        over = closed.is_set()
        everything = [send_outbox(client, outbox, uri) for outbox in outboxes]
        if over:
            return all(everything)
        wait = _LOOK_EVERY_S if all(everything) else min(2 * wait, _LONGEST_WAIT_S)
        closed.wait(wait)


def main() -> None:
    """Send until standard input is closed."""
    closed = Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        closed.set()

    Thread(target=watch, daemon=True).start()
    outboxes = [Outbox(Path(folder)) for folder in sys.argv[1:]]
    sys.exit(0 if follow(outboxes, os.environ[URI_VARIABLE], closed) else 1)


if __name__ == "__main__":
    main()
