"""The ward server's image and its compose file: closed, without a secret, and complete."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
WARD = ROOT / "deployments" / "ward"
DOCKERFILE = (WARD / "Dockerfile").read_text(encoding="utf-8")


def service() -> dict[str, Any]:
    """The only service of the compose file."""
    (found,) = yaml.safe_load((WARD / "compose.yaml").read_text())["services"].values()
    assert isinstance(found, dict)
    return found


def test_the_container_is_closed() -> None:
    """It writes nowhere, may do nothing special, and only this host reaches it."""
    found = service()
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in found["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in found["ports"])
    assert all(volume.endswith(":ro") for volume in found["volumes"])
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)


def test_the_token_comes_from_outside() -> None:
    """Without it the container does not start; no file holds one."""
    token = service()["environment"]["ASR_FLYWHEEL_SERVER_TOKEN"]
    assert token.startswith("${ASR_FLYWHEEL_SERVER_TOKEN:?")


def test_what_is_copied_is_there_and_what_is_started_is_copied() -> None:
    """Each source of a COPY is in the project; the program is the module of the command."""
    sources = [
        source
        for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    module = re.search(r'"-m", "([\w.]+)"', DOCKERFILE)
    assert module is not None
    assert importlib.util.find_spec(module[1]) is not None
    assert f"{module[1].replace('.', '/')}.py" in sources


def test_every_package_is_pinned() -> None:
    """By the file that pins them for everybody."""
    pinned = {
        line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    lines = (WARD / "requirements.txt").read_text().splitlines()
    for name in (line for line in lines if not line.startswith("#")):
        assert name.lower() in {one.lower() for one in pinned}, name
