"""A base that cannot be downloaded: the true cause is named, and no credentials of a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.models import hub_cache

if TYPE_CHECKING:
    from pathlib import Path

NAME = "nvidia/parakeet-ctc-0.6b"


def refusal(monkeypatch: pytest.MonkeyPatch, home: Path, failure: Exception) -> str:
    """What a user reads where the hub's library fails in this way."""
    import huggingface_hub  # noqa: PLC0415 - half a second

    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(InputError) as wrong:
        hub_cache.resolve(NAME, "", "")
    return str(wrong.value)


def test_an_error_of_the_http_library_is_a_refusal_with_a_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The library is another one in each major version of the hub: no common base."""

    class ProxyFault(Exception):  # noqa: N818 - an error of another library
        pass

    said = refusal(monkeypatch, tmp_path, ProxyFault("502 no\nand more"))
    assert "cannot be downloaded (ProxyFault: 502 no). Fix: behind a proxy set HTTPS_PROXY" in said
    assert "docs/proxy.md" in said


def test_what_an_error_began_with_is_named_without_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The hub says that the cache has no entry; that a certificate was refused is the cause."""
    cause = OSError("certificate verify failed at http://me:secret@proxy.example:3128/")
    outer = ValueError("cannot find the requested files in the local cache")
    outer.__cause__ = cause
    said = refusal(monkeypatch, tmp_path, outer)
    assert "OSError: certificate verify failed at http://proxy.example:3128/" in said
    assert "secret" not in said
