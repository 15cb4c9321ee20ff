"""Which names and addresses are this machine's own."""

from __future__ import annotations

import os

import pytest

from tasks.common.loopback import is_loopback, reach_loopback_directly


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing is bound
        ("10.0.0.1", False),
        ("localhost.clinic.example", False),
        ("", False),
    ],
)
def test_names_of_this_machine(host: str, *, wanted: bool) -> None:
    """What others can reach, or what a resolver decides, is not."""
    assert is_loopback(host) is wanted


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "localhost,127.0.0.1,::1"),
        (
            {"http_proxy": "http://proxy:3128", "no_proxy": "a, localhost"},
            "a,localhost,127.0.0.1,::1",
        ),
        (
            {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": ".clinic"},
            ".clinic,localhost,127.0.0.1,::1",
        ),
        ({"ALL_PROXY": "socks5://proxy", "NO_PROXY": "*"}, "*"),
    ],
)
def test_no_proxy_is_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, before: dict[str, str], after: str | None
) -> None:
    """What was excepted before stays so."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    # What is set by the function itself is taken back at the end, too.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    reach_loopback_directly()
    assert (os.environ.get("NO_PROXY") or os.environ.get("no_proxy")) == after
    if after not in (None, "*"):
        assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
