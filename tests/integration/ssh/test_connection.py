"""Connections that are shared, hang, break and come back, with a real sshd at the other end."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from flows.rental import remote_run
from flows.rental.remote_run import Watch
from tasks.gpu_hosts import remote_scripts, ssh
from tasks.gpu_hosts.lease import Lease
from tasks.gpu_hosts.ssh import Connection, ConnectionLostError, HostError, SshSettings, Tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.loopback_ssh import Loopback


@pytest.fixture
def ours() -> Iterator[int]:
    """A port of ours that answers over HTTP."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port whose host takes a connection, says that it speaks SSH, and then nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    found, _ = listener.accept()
                except OSError:
                    return
                found.sendall(b"SSH-2.0-silent\r\n")
                kept.append(found)

        kept: list[socket.socket] = []
        threading.Thread(target=greet, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for one in kept:
            one.close()


@pytest.mark.parametrize(
    ("code", "lost"), [(10, True), (12, True), (30, True), (255, True), (1, False), (11, False)]
)
def test_rsync_tells_a_broken_connection_from_another_failure(
    code: int,
    lost: bool,  # noqa: FBT001 - pytest names it
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its exit code; on a fast line it fails while it writes (10), else while it waits (12)."""
    (tmp_path / "rsync").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "rsync").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    connection = Connection(SshSettings(destination="nobody@127.0.0.1"))
    with pytest.raises(HostError, match=f"exit code {code}") as failed:
        connection.copy_to(tmp_path, ["rsync"], "/nowhere")
    assert isinstance(failed.value, ConnectionLostError) is lost


@pytest.mark.parametrize("more", ["", "  LogLevel ERROR\n"])
def test_a_tunnel_through_an_entry_that_brev_wrote_leads_to_our_port(
    host: Loopback, ours: int, tmp_path: Path, more: str
) -> None:
    """Its shared connections and a quiet log level of the user's own do not get in its way."""
    config = tmp_path / "config"
    config.write_text(f"Host rented\n{host.as_brev_writes}{more}")
    settings = SshSettings(destination="rented", config=config, new_host_key=True)
    tunnel = Tunnel(settings, "127.0.0.1", ours)
    try:
        assert Connection(settings).check("tty || true") == "not a tty\n"
        port = tunnel.open()
        for _ in range(2):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert answer.status == 200
            host.drop()
            while tunnel.alive:
                time.sleep(0.1)
            assert tunnel.open() == port
    finally:
        tunnel.close()
        ended = ["ssh", "-F", str(config), "-O", "exit", "rented"]
        shared = subprocess.run(ended, capture_output=True, check=False).returncode == 0
    assert not shared


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("remote_port", [0, 40_123])
def test_a_host_that_hangs_is_no_open_tunnel(
    silent: int, monkeypatch: pytest.MonkeyPatch, remote_port: int
) -> None:
    """Neither at the first try nor when it is opened again: it ends, and counts as lost."""
    monkeypatch.setattr(ssh, "_STANDS_S", 1.0)
    # ssh's own time-outs are longer than ours.
    settings = SshSettings(destination="127.0.0.1", port=silent, connect_s=2)
    tunnel = Tunnel(settings, "127.0.0.1", 9, remote_port)
    with pytest.raises(ConnectionLostError, match="no tunnel to it"):
        tunnel.open()
    assert not tunnel.alive


def test_failed_looks_add_up_only_without_a_good_one_between_them(
    host: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two short outages are two; one that is longer than the patience ends the run."""
    monkeypatch.setattr(remote_run, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(remote_scripts, "alive", lambda *_: "echo 1")
    lease = Lease({"provider": "ssh"}, "host", "/clinic/cycle1", 1, "l40s", 1.5)
    connection = Connection(SshSettings.model_validate(host.ssh))
    watch = Watch(connection, lease, "/", None, time.time() + 60, patience_s=0.5)
    for _ in range(2):
        host.kill()
        watch._look()
        host.start()
        watch._look()
        time.sleep(0.6)
    host.kill()
    watch._look()
    time.sleep(0.6)
    with pytest.raises(HostError, match="not reachable for 0 s in mid-run"):
        watch._look()
    host.start()
