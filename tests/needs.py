"""What a bare machine lacks: a test that needs it is skipped there, and says so.

CI installs these things and names them in FLYWHEEL_REQUIRED: then their absence is a failure.
"""

from __future__ import annotations

import os

import pytest


def require(name: str, *, present: bool, how: str) -> None:
    """Skip the test if ``name`` is absent; fail instead if it was promised.

    Args:
        name: as FLYWHEEL_REQUIRED lists it, such as ``engine``.
        present: whether it is there.
        how: what to do to have it.
    """
    if present:
        return
    if name in os.environ.get("FLYWHEEL_REQUIRED", "").split():
        pytest.fail(f"{name} is required here but absent: {how}")
    pytest.skip(f"needs {name}: {how}")
