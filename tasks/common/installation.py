"""The folder of an offline bundle that this code was installed from, found by its record."""

from __future__ import annotations

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
