"""Whether a Prefect server is named; without one, Prefect starts one that ends with the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.settings import get_current_settings

from tasks.records.store import StoreError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


def is_named() -> bool:
    """Whether PREFECT_API_URL, in the environment or in Prefect's profile, names a server."""
    return bool(get_current_settings().api.url)


def is_transient_failure(_task: object, _run: object, state: State[object]) -> bool:
    """Whether a second try can help: an endpoint may come back, an expired key does not."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, StoreError) and failure.transient
