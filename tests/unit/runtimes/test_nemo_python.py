"""NeMo in another environment: the interpreter that a variable names runs the entry programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tasks.runtimes.base import PYTHON_VARIABLE
from tasks.runtimes.local import LocalRuntime
from tests.support.hosts import CPU

if TYPE_CHECKING:
    import pytest


def test_without_the_variable_it_is_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the run's key is what it was before the variable existed."""
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    assert LocalRuntime(CPU).python == sys.executable
    assert "nemo" not in LocalRuntime(CPU).identity
