"""Which failed tasks Prefect shall try again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.records.store import StoreError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


def worth_retrying(_task: object, _run: object, state: State[object]) -> bool:
    """Whether a second try can help: an endpoint may come back, an expired key does not."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, StoreError) and failure.transient
