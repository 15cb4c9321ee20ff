"""deployments/compose.yaml: what it holds, and the settings that its services get."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tasks.common import atomic_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asr_flywheel.site.local_site import Site

FILE = Path(__file__).parents[2] / "deployments" / "compose.yaml"
# A user and group that every Debian has and that own nothing.
NOBODY = 65534
STANDIN = Path(__file__).parent / "compose_standin.py"
WITH_SECRETS = FILE.parent / "site" / "with-secrets.sh"


def services() -> dict[str, Any]:
    """The services, anchors resolved."""
    found = yaml.safe_load(FILE.read_text())["services"]
    assert isinstance(found, dict)
    return found


def settings(service: str) -> dict[str, str]:
    """A service's environment, as it stands in the file."""
    return {str(name): str(value) for name, value in services()[service]["environment"].items()}


def standing_in(
    folder: Path, site: Site, inside: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """An environment in which `docker compose` means a site whose services have no containers.

    Args:
        folder: for the program and what it has to know.
        site: whose server and worker it stops and starts.
        inside: the environment that `exec` gives to programs of a service.
    """
    told = {"folder": str(site.folder), "port": site.port, "settings": dict(site.settings)}
    atomic_files.write_json(folder / "site.json", {**told, "inside": inside})
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STANDIN}" "$@"\n')
    program.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "COMPOSE_STANDIN": str(folder / "site.json")}


def with_secrets(folder: Path) -> dict[str, str]:
    """What with-secrets.sh puts into a program's environment.

    It refuses to run as root, as whom tests may run: then an ordinary user runs it.
    """
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-secrets-") as readable:
        shutil.copytree(folder, readable, dirs_exist_ok=True)
        if root := os.getuid() == 0:
            for path in (Path(readable), *Path(readable).iterdir()):
                os.chown(path, NOBODY, NOBODY)
        done = subprocess.run(
            ["sh", "-s", "env", "-0"],
            # Read here: that user may not reach this folder.
            input=WITH_SECRETS.read_text(encoding="utf-8"),
            env={"PATH": os.environ["PATH"], "FLYWHEEL_SECRETS": readable},
            cwd="/",
            user=NOBODY if root else None,
            group=NOBODY if root else None,
            extra_groups=[] if root else None,
            capture_output=True,
            text=True,
            check=True,
        )
    pairs = (one.partition("=") for one in done.stdout.split("\0") if one)
    return {name: value for name, _, value in pairs if name.startswith("PREFECT_")}
