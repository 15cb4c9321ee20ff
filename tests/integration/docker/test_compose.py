"""The compose file and its scripts, by Docker Compose and the shell."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support import compose_file, doc_pages, needs

if TYPE_CHECKING:
    from pathlib import Path

HOST = {
    "FLYWHEEL_UID": "1000",
    "FLYWHEEL_GID": "1000",
    "DOCKER_GID": "999",
    "FLYWHEEL_HOST": "ward7",
    "FLYWHEEL_CYCLES": "/srv/cycles",
}


def config(**variables: str) -> subprocess.CompletedProcess[str]:
    """What docker-compose makes of the file; skips the test where there is none."""
    needs.require("compose")
    line = [str(needs.find("docker-compose")), "-f", str(compose_file.FILE), "config"]
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


def resolved(**variables: str) -> dict[str, Any]:
    """The services as docker-compose resolves them on a host."""
    done = config(**HOST, **variables)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["services"]
    assert isinstance(found, dict)
    return found


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


def test_a_worker_of_another_host_asks_the_site_that_is_named() -> None:
    """By FLYWHEEL_API_URL, under its own name; the documented line starts nothing else there."""
    assert resolved()["worker"]["environment"]["PREFECT_API_URL"] == "http://server:4200/api"
    worker = resolved(FLYWHEEL_API_URL="https://flywheel.example/api")["worker"]
    assert worker["environment"]["PREFECT_API_URL"] == "https://flywheel.example/api"
    assert worker["hostname"] == HOST["FLYWHEEL_HOST"]
    page = (doc_pages.DOCS / "operations.md").read_text(encoding="utf-8")
    lines = re.findall(r"^docker compose .* up .* worker$", page, re.MULTILINE)
    assert lines
    for line in lines:
        assert "--no-deps" in line.split()


def test_an_image_knows_the_commit_that_it_was_built_from(tmp_path: Path) -> None:
    """It has no history: the build is told, and the deployments' version is what it was told."""
    commit = "v1.2-3-gabcdef0"
    for name in ("server", "register", "worker"):
        built = resolved(FLYWHEEL_COMMIT=commit)[name]["build"]
        assert built["args"] == {"FLYWHEEL_COMMIT": commit}
    dockerfile = (compose_file.FILE.parent / "site" / "Dockerfile").read_text()
    assert re.search(r"^ARG FLYWHEEL_COMMIT\b", dockerfile, re.MULTILINE)
    assert re.search(r"^ENV FLYWHEEL_COMMIT=\$FLYWHEEL_COMMIT$", dockerfile, re.MULTILINE)
    (step,) = yaml.safe_load((compose_file.FILE.parent / "prefect.yaml").read_text())["build"]
    script = step["prefect.deployments.steps.run_shell_script"]["script"]
    environment = {"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}

    def version(**told: str) -> str:
        line = shlex.split(script)
        done = subprocess.run(
            line, cwd=tmp_path, env=environment | told, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert version(FLYWHEEL_COMMIT=commit) == commit
    assert version() == "unknown"


def test_secrets_reach_the_program_by_its_environment(tmp_path: Path) -> None:
    """Without the line's end; a client gets no database password."""
    (tmp_path / "site_credentials").write_text("flywheel:pass:word\r\n")
    assert compose_file.with_secrets(tmp_path) == {
        "PREFECT_API_AUTH_STRING": "flywheel:pass:word",
        "PREFECT_SERVER_API_AUTH_STRING": "flywheel:pass:word",
    }
    odd = "p w$'"
    (tmp_path / "database_password").write_text(f"{odd}\n")
    assert compose_file.with_secrets(tmp_path)["PREFECT_SERVER_DATABASE_PASSWORD"] == odd


def test_nothing_runs_as_root(tmp_path: Path) -> None:
    """FLYWHEEL_UID=$(id -u) of root: the worker would have the engine's socket, and all of it."""
    (tmp_path / "site_credentials").write_text("flywheel:password")
    needs.require("root")
    refused = subprocess.run(
        [compose_file.WITH_SECRETS, "echo", "ran"],
        env={"PATH": os.environ["PATH"], "FLYWHEEL_SECRETS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "FLYWHEEL_UID" in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize("content", ["", "flywheel", ":password", "flywheel:"])
def test_a_site_without_credentials_does_not_start(tmp_path: Path, content: str) -> None:
    """An empty file must not switch the question off."""
    (tmp_path / "site_credentials").write_text(content)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        compose_file.with_secrets(tmp_path)
    assert refused.value.returncode == 2
    assert "user:password" in refused.value.stderr
