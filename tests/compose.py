"""deployments/compose.yaml: what it holds, and the settings that its services get."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parent.parent / "deployments" / "compose.yaml"
WITH_SECRETS = FILE.parent / "site" / "with-secrets.sh"


def services() -> dict[str, Any]:
    """The services, anchors resolved."""
    found = yaml.safe_load(FILE.read_text())["services"]
    assert isinstance(found, dict)
    return found


def settings(service: str) -> dict[str, str]:
    """A service's environment, as it stands in the file."""
    return {str(name): str(value) for name, value in services()[service]["environment"].items()}


def with_secrets(folder: Path) -> dict[str, str]:
    """What with-secrets.sh puts into a program's environment."""
    done = subprocess.run(
        [WITH_SECRETS, "env", "-0"],
        env={"PATH": os.environ["PATH"], "FLYWHEEL_SECRETS": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (one.partition("=") for one in done.stdout.split("\0") if one)
    return {name: value for name, _, value in pairs if name.startswith("PREFECT_")}
