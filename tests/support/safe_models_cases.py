"""A pickle that calls a function when it is loaded."""

from __future__ import annotations

import pickle
from datetime import date
from typing import Any


class Caller:
    """Its pickle calls a harmless function that is none of torch's."""

    def __reduce__(self) -> tuple[Any, tuple[int, int, int]]:
        """Make a date."""
        return date, (2026, 1, 1)


CALLS = {protocol: pickle.dumps({"w": Caller()}, protocol=protocol) for protocol in (0, 2, 4)}
