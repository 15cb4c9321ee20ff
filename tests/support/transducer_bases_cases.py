"""The small RNN-T and TDT bases: files, cards, configuration."""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING, Any

import yaml

from tasks.models.catalog import embedded_path

if TYPE_CHECKING:
    from pathlib import Path


FOLDER = embedded_path().parent
KINDS = ("rnnt", "tdt")


def model(kind: str) -> Path:
    """The base's file."""
    return FOLDER / f"embedded_{kind}.nemo"


def card(kind: str) -> str:
    """The base's model card."""
    return (FOLDER / f"MODEL_CARD_{kind.upper()}.md").read_text(encoding="utf-8")


def members(path: Path) -> dict[str, bytes]:
    """An archive's files, by their names without the random prefix."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            if stream := archive.extractfile(member):
                name = re.sub(r"^(\./)?([0-9a-f]{32}_)?", "", member.name)
                found[name] = stream.read()
    return found


def config(path: Path) -> dict[str, Any]:
    """An archive's configuration."""
    loaded: dict[str, Any] = yaml.safe_load(members(path)["model_config.yaml"])
    return loaded
