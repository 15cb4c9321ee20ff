"""The GPU bundle as a module: it is a program outside of the packages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

PROGRAM = Path(__file__).parents[2] / "deployments" / "gpu_bundle.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_bundle", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_bundle"] = module
    spec.loader.exec_module(module)
    return module


bundle = _load()
