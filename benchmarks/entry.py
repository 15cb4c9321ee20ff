"""The modules of tasks/entry, which find each other as neighbours of the program that runs."""

from __future__ import annotations

import sys
from typing import Any

from tasks.runtime import ENTRY

sys.path.insert(0, str(ENTRY))
import parakeet_graph  # type: ignore[import-not-found]  # lies beside the program
import pipeline  # type: ignore[import-not-found]
import recogniser  # type: ignore[import-not-found]
import sound  # type: ignore[import-not-found]

Untyped = Any
"""A model of NeMo's, or an object of these modules: neither tells a type."""

__all__ = ["Untyped", "parakeet_graph", "pipeline", "recogniser", "sound"]
