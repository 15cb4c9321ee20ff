"""Which names and addresses are this machine's own."""

from __future__ import annotations

import pytest

from tasks.common.loopback import is_loopback


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing is bound
        ("10.0.0.1", False),
        ("localhost.clinic.example", False),
        ("", False),
    ],
)
def test_names_of_this_machine(host: str, *, wanted: bool) -> None:
    """What others can reach, or what a resolver decides, is not."""
    assert is_loopback(host) is wanted
