"""How many threads torch computes with, for tests that compare its numbers bit by bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Another number of threads adds up in another order: enough to sway a random model."""
    import torch  # noqa: PLC0415 - ten seconds that collecting tests need not pay

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
