"""The compose file of a site: valid, without a secret in it, and with nobody privileged."""

from __future__ import annotations

import re

from tests.support import compose_file


def test_the_server_sees_to_its_slots_before_it_starts() -> None:
    """By the same program as `make site`, with the server's own leases in reach."""
    server = compose_file.services()["server"]
    assert server["command"][:3] == ["python", "-m", "asr_flywheel.site.server"]
    assert f"server:{server['environment']['PREFECT_HOME']}" in server["volumes"]


def test_no_secret_stands_in_the_file() -> None:
    """Passwords come from files; the server asks for credentials by default."""
    for service in compose_file.services().values():
        for name in service.get("environment", {}):
            assert not re.search(r"PASSWORD$|AUTH_STRING|CONNECTION_URL", name), name
    assert "site_credentials" in compose_file.services()["server"]["secrets"]


def test_nobody_is_privileged_and_nothing_is_open() -> None:
    """Fixed users, the engine's socket by its group only, ports on loopback."""
    for name, service in compose_file.services().items():
        assert "privileged" not in service
        if name != "database":
            # Which refuses to run as root, whoever FLYWHEEL_UID is.
            assert service["entrypoint"] == ["/usr/local/bin/with-secrets"], name
            assert service["user"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    sockets = [
        name
        for name, service in compose_file.services().items()
        if any("docker.sock" in volume for volume in service.get("volumes", []))
    ]
    assert sockets == ["worker"]


def test_what_the_engine_mounts_has_one_path_outside_and_inside() -> None:
    """The engine resolves paths on the host."""
    for volume in compose_file.services()["worker"]["volumes"]:
        outside, inside = re.sub(r"\$\{(\w+)[^}]*\}", r"$\1", volume).split(":")[:2]
        assert outside == inside
