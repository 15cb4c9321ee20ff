"""The compose file of a site: valid, without a secret in it, and with nobody privileged."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests import compose
from tests.needs import require

if TYPE_CHECKING:
    from pathlib import Path

HOST = {
    "FLYWHEEL_UID": "1000",
    "FLYWHEEL_GID": "1000",
    "DOCKER_GID": "999",
    "FLYWHEEL_CYCLES": "/srv/cycles",
}


def config(**variables: str) -> subprocess.CompletedProcess[str]:
    """What docker-compose makes of the file; skips the test where there is none."""
    program = shutil.which("docker-compose")
    require("compose", present=program is not None, how="`apt-get install docker-compose`")
    line = [str(program), "-f", str(compose.FILE), "config"]
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


def test_the_file_is_valid() -> None:
    """By docker-compose's own judgement."""
    done = config(**HOST)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", HOST)
def test_what_only_the_host_knows_is_asked_for(missing: str) -> None:
    """By name, instead of a site that half works."""
    done = config(**{name: value for name, value in HOST.items() if name != missing})
    assert done.returncode != 0
    assert missing in done.stderr


def test_no_secret_stands_in_the_file() -> None:
    """Passwords come from files; the server asks for credentials by default."""
    for service in compose.services().values():
        for name in service.get("environment", {}):
            assert not re.search(r"PASSWORD$|AUTH_STRING|CONNECTION_URL", name), name
    assert "site_credentials" in compose.services()["server"]["secrets"]


def test_nobody_is_privileged_and_nothing_is_open() -> None:
    """Fixed users, the engine's socket by its group only, ports on loopback."""
    for name, service in compose.services().items():
        assert "privileged" not in service
        if name != "database":
            assert not str(service["user"]).startswith(("0", "root")), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    sockets = [
        name
        for name, service in compose.services().items()
        if any("docker.sock" in volume for volume in service.get("volumes", []))
    ]
    assert sockets == ["worker"]


def test_what_the_engine_mounts_has_one_path_outside_and_inside() -> None:
    """The engine resolves paths on the host."""
    for volume in compose.services()["worker"]["volumes"]:
        outside, inside = re.sub(r"\$\{(\w+)[^}]*\}", r"$\1", volume).split(":")[:2]
        assert outside == inside


def test_secrets_reach_the_program_by_its_environment(tmp_path: Path) -> None:
    """Without the line's end; a client gets no database password."""
    (tmp_path / "site_credentials").write_text("flywheel:pass:word\r\n")
    assert compose.with_secrets(tmp_path) == {
        "PREFECT_API_AUTH_STRING": "flywheel:pass:word",
        "PREFECT_SERVER_API_AUTH_STRING": "flywheel:pass:word",
    }
    odd = "p w$'"
    (tmp_path / "database_password").write_text(f"{odd}\n")
    assert compose.with_secrets(tmp_path)["PREFECT_SERVER_DATABASE_PASSWORD"] == odd


@pytest.mark.parametrize("content", ["", "flywheel", ":password", "flywheel:"])
def test_a_site_without_credentials_does_not_start(tmp_path: Path, content: str) -> None:
    """An empty file must not switch the question off."""
    (tmp_path / "site_credentials").write_text(content)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        compose.with_secrets(tmp_path)
    assert refused.value.returncode == 2
    assert "user:password" in refused.value.stderr
