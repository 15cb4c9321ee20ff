"""The hand-off's command, for the tests of what it hands on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.handoff_cases import call_handoff

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def ask_handoff(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Call ``asr-flywheel handoff … --json``; the function returns exit code and answer."""
    return partial(call_handoff, monkeypatch, capsys)
