"""The Prefect server of a command's own run."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from tasks.common.errors import FlywheelError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def server_answers() -> Iterator[None]:
    """Turn Prefect's words on a server that is out of reach into an error with its fix.

    Raises:
        FlywheelError: the server does not answer.
    """
    try:
        yield
    except RuntimeError as wrong:
        # Prefect has no class of its own for these two.
        if "Failed to reach API" in str(wrong) or "ephemeral Prefect API" in str(wrong):
            raise FlywheelError(
                f"Prefect: {wrong} Fix: start the server that PREFECT_API_URL names, or unset it; "
                "without a server, PREFECT_HOME must be a folder that you may write to."
            ) from wrong
        raise


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
            # Making a client is what starts it; the run finds it up.
            get_client(sync_client=True)
        except Exception as wrong:  # noqa: BLE001 - raised below, where it can be handled
            failed.append(wrong)

    # A daemon: what the block raises, Ctrl-C too, does not wait for a server that nobody needs.
    starting = Thread(target=start, daemon=True)
    starting.start()
    yield
    starting.join()
    if failed:
        raise failed[0]
