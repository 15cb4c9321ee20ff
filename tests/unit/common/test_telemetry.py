"""No library of ours reports to its maker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tasks.common.telemetry import forbid_telemetry

if TYPE_CHECKING:
    import pytest


def test_a_user_s_own_setting_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what nobody has set is forbidden."""
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    forbid_telemetry()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
    assert os.environ["DO_NOT_TRACK"] == "1"
