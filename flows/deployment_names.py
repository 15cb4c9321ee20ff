"""The project's folder, its deployments file and its work pool."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).parent.parent
PREFECT_FILE = PROJECT / "deployments" / "prefect.yaml"
POOL = "gpu"
