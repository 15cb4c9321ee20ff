"""How this code was installed: the offline bundle that it came from, and what adds an extra."""

from __future__ import annotations

import sys
from pathlib import Path

RECORD_NAME = "offline-bundle.json"
"""The record of an installation, written last: without it nothing there counts."""
BASES_FOLDER = "bases"
"""The base models of an installation, laid out as Hugging Face's cache."""

# From this file to the folder above a virtual environment.
_DEEPEST = 7


def find_bundle_root(module: Path | None = None) -> Path | None:
    """Return the folder of the offline bundle that this code was installed from, or None.

    Args:
        module: a file of the installed code; by default this one.
    """
    for folder in (module or Path(__file__)).absolute().parents[1:_DEEPEST]:
        if (folder / RECORD_NAME).is_file():
            return folder
    return None


def install_fix(extra: str, *, pinned: bool = False) -> str:
    """Return what a message says to install an extra of this project.

    The project is in no public index, where anybody could register its name: the command is one
    for its checkout, which a site with an index of its own has too.

    Args:
        extra: its name in pyproject.toml.
        pinned: hold the versions to those that the tests run with.
    """
    pins = " -c constraints.txt" if pinned else ""
    return f"{sys.executable} -m pip install '.[{extra}]'{pins} in this project's checkout"
