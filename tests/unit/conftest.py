"""The unit tier's rules: no process, no network, no torch, and no test that works for a second."""

from __future__ import annotations

import io
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import urllib3.util.connection  # noqa: F401 - it binds an IPv6 address when it is imported
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

_PROCESSES = {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.system", "os.exec"}
_HEAVY = {"torch", "nemo", "lightning"}
_SECONDS = float(os.environ.get("FLYWHEEL_UNIT_SECONDS", "1"))
"""What a unit test may take of the processor; a slow machine may set more."""
_WAITING = 5
"""A test may take so many times that by the clock, on a machine that does other things too."""


@pytest.fixture(autouse=True)
def _no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep AWS's client from asking the network whether this is a machine of Amazon's."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session", autouse=True)
def _warm_up() -> None:
    """Pay, before the first test, for what a process pays once: imports, fonts, Unicode tables."""
    import jiwer  # noqa: PLC0415 - what collection need not pay
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    @settings(max_examples=1, database=None)
    @given(st.text())
    def draw(_: str) -> None:
        """Draw one text."""

    draw()
    jiwer.wer("a", "a")
    figure = Figure()
    figure.text(0.5, 0.5, "a")
    figure.savefig(io.BytesIO())


class _Watch:
    """What the test that runs now has done against the rules."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        self.loaded: set[str] = set()

    def audit(self, event: str, arguments: Sequence[Any]) -> None:
        """Take note of an audit event; the process reports every one of them."""
        if not self.on:
            return
        if event in _PROCESSES:
            self.seen.append(f"starts a process ({event} {arguments[0] if arguments else ''})")
        elif event in {"socket.connect", "socket.bind"} and _is_network(arguments[0]):
            self.seen.append(f"uses the network ({event} {arguments[1]})")


def _is_network(which: socket.socket) -> bool:
    return which.family in {socket.AF_INET, socket.AF_INET6}


_WATCH = _Watch()
sys.addaudithook(_WATCH.audit)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a test file that imports torch, where no test of another tier may have."""
    if all("unit" in item.keywords for item in session.items) and _HEAVY & sys.modules.keys():
        raise pytest.UsageError("a file of tests/unit imports torch or NeMo")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Hold nothing against the next test."""
    _WATCH.seen, _WATCH.loaded = [], _HEAVY & sys.modules.keys()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that breaks the rules, or that takes too long."""
    _WATCH.on = True
    began, worked = time.monotonic(), time.process_time()
    try:
        result = yield
    finally:
        _WATCH.on = False
    _WATCH.seen += [f"imports {name}" for name in _HEAVY & sys.modules.keys() - _WATCH.loaded]
    waited, worked = time.monotonic() - began, time.process_time() - worked
    if _WATCH.seen:
        pytest.fail(f"a unit test {_WATCH.seen[0]}: it belongs to tests/integration", pytrace=False)
    if worked > _SECONDS or waited > _WAITING * _SECONDS:
        pytest.fail(
            f"a unit test took {worked:.2f} s of the processor and {waited:.2f} s by the clock; "
            f"{_SECONDS:g} s and {_WAITING * _SECONDS:g} s are allowed (FLYWHEEL_UNIT_SECONDS). "
            "Make it smaller, or move it to tests/nightly.",
            pytrace=False,
        )
    return result


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
    """Watch fixtures as well."""
    before, _WATCH.on = _WATCH.on, True
    try:
        result = yield
    finally:
        _WATCH.on = before
    return result
