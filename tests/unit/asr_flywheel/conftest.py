"""The program, called in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cli_cases import caller

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Call the program as a shell would; the function returns exit code, output and errors."""
    return caller(monkeypatch, capsys)
