"""A base from a hub over HTTP: pinned, checked, and kept for a machine without network."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tasks.models.catalog import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Hub(BaseHTTPRequestHandler):
    """Hugging Face's way of serving a file: a HEAD tells commit and hash, a GET the content."""

    commit: ClassVar[str] = "c" * 40
    content: ClassVar[bytes] = b"a model's bytes"
    asked: ClassVar[list[str]] = []

    def _head(self) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        self.send_response(200)
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_HEAD(self) -> None:
        """Commit, hash and size."""
        self._head()

    def do_GET(self) -> None:
        """The file."""
        self._head()
        self.wfile.write(self.content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of such a hub, on loopback."""
    monkeypatch.setattr(Hub, "asked", [])
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def resolve(name: str, home: Path, hub: str | None) -> tuple[int, str]:
    """Run ``asr-flywheel bases NAME --json`` with a cache of its own; no hub: no network."""
    environment = {
        **os.environ,
        "HF_HOME": str(home / "hf"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "HF_HUB_DISABLE_XET": "1",
        **({"HF_HUB_OFFLINE": "1"} if hub is None else {"HF_ENDPOINT": hub}),
    }
    line = [sys.executable, "-m", "asr_flywheel.cli", "bases", name, "--json"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout or done.stderr


def test_a_name_becomes_a_pinned_file_which_needs_no_network_again(
    tmp_path: Path, hub: str
) -> None:
    """Downloaded once; revision and hash are written down, and hold when the file changes."""
    name = "parakeet-ctc-0.6b"
    code, printed = resolve(name, tmp_path, hub)
    assert code == 0, printed
    found = json.loads(printed)
    assert found["revision"] == Hub.commit
    assert found["sha256"] == hashlib.sha256(Hub.content).hexdigest()
    assert resolve(name, tmp_path, None) == (code, printed)
    path = next((tmp_path / "hf").rglob("snapshots/*/parakeet-ctc-0.6b.nemo")).resolve()
    path.write_bytes(Hub.content[::-1])
    code, told = resolve(name, tmp_path, None)
    assert code == 2
    assert "SHA-256" in told
    assert "bases.json" in told


def test_a_file_that_is_not_the_catalogues_is_refused_at_once(tmp_path: Path, hub: str) -> None:
    """Where the published hash is known, the first download is checked against it."""
    code, told = resolve("parakeet-tdt-1.1b", tmp_path, hub)
    assert code == 2
    assert CATALOGUE["nvidia/parakeet-tdt-1.1b"].sha256 in told
    assert any("74ec7598b4a8dae899a5bd04eaa0e9a92bf36a62" in one for one in Hub.asked)


def test_without_network_and_cache_the_error_is_clear(tmp_path: Path) -> None:
    """It names the base and the command that fetches it elsewhere."""
    code, told = resolve("parakeet-rnnt-1.1b", tmp_path, None)
    assert code == 2
    assert "hf download nvidia/parakeet-rnnt-1.1b parakeet-rnnt-1.1b.nemo --revision 2326ee" in told
