"""Whether a Prefect server is named; without one, Prefect starts one that ends with the program."""

from __future__ import annotations

from prefect.settings import get_current_settings


def is_named() -> bool:
    """Whether PREFECT_API_URL, in the environment or in Prefect's profile, names a server."""
    return bool(get_current_settings().api.url)
