"""Who may reach the ward server, and what it needs to start."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_flywheel.commands.serve import serve
from asr_flywheel.ward_server.bundle_service import ServiceRequest, serve_bundle
from asr_flywheel.ward_server.server_process import ListenAddress, read_token
from asr_flywheel.ward_server.service_limits import ServiceLimits
from tasks.common.errors import InputError
from tasks.serving.edge.http_transcription import TOKEN_VARIABLE
from tests.support import band_bundles


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_token(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Nobody else can reach it."""
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token(ListenAddress(host)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "ward7", "localhost.example"])  # noqa: S104
@pytest.mark.parametrize("token", [None, "", "  "])
def test_every_other_address_needs_one(
    monkeypatch: pytest.MonkeyPatch, host: str, token: str | None
) -> None:
    """The error names the variable and a line that makes one."""
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    if token is not None:
        monkeypatch.setenv(TOKEN_VARIABLE, token)
    with pytest.raises(InputError, match=rf"{host}.*{TOKEN_VARIABLE} is not set.*openssl rand"):
        read_token(ListenAddress(host))


@pytest.mark.parametrize("token", ["short", "sixteen characters of ÄÖÜ", "a" * 16 + "\x07"])
def test_a_token_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    """On loopback too; the message does not repeat it."""
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    with pytest.raises(InputError, match=TOKEN_VARIABLE) as caught:
        read_token(ListenAddress())
    assert token not in str(caught.value)


def test_a_token_is_taken_without_its_line_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file's content has it."""
    monkeypatch.setenv(TOKEN_VARIABLE, "0123456789abcdef\n")
    assert read_token(ListenAddress("0.0.0.0")) == "0123456789abcdef"  # noqa: S104


def test_a_changed_bundle_is_not_served(tmp_path: Path) -> None:
    """Its files are compared with their hashes before anything is loaded."""
    folder = band_bundles.write_bundle(tmp_path / "bundle")
    (folder / "vocab.txt").write_text("▁warfarin 0\n<blk> 1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"vocab\.txt.*SHA-256"):
        serve_bundle(ServiceRequest(folder, ListenAddress(), ServiceLimits()))


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    """And the other way round."""
    with pytest.raises(InputError, match="--certificate, --key"):
        serve(tmp_path, certificate=Path("ward.pem"))
