"""Fixtures of tests that start a server of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import s3_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The S3 server of this module."""
    with s3_server.serving() as found:
        yield found
