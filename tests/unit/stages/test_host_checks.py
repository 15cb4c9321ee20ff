"""The doctor: each check finds what it is for, with the command that mends it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.models import catalog
from tasks.stages import host_checks
from tasks.stages.check_result import CheckStatus
from tests.support import factories
from tests.support.host_checks_cases import H100, no_engine, run_context
from tests.support.hosts import CPU

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.runtimes.hardware import Hardware


def room(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let every file system have this size, all of it free, in bytes."""
    usage = SimpleNamespace(total=size, used=0, free=size)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)


def test_a_machine_with_everything_passes() -> None:
    """This one trains the embedded base on its CPU: nothing is missing."""
    found = host_checks.examine(run_context())
    assert host_checks.can_go(found)
    assert {one.check for one in found} >= {"python", "torch", "NeMo", "GPU", "disk", "base"}
    assert all(one.fix for one in found if one.state is CheckStatus.MISSING)


def test_room_is_asked_for_by_the_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """24 GB for 600 M parameters, more for an image that is still to come; also in a new folder."""
    room(monkeypatch, 25_000_000_000)
    large: dict[str, Any] = {"base": catalog.RECOMMENDED, "folder": tmp_path / "not" / "yet"}
    assert host_checks.disk(run_context(**large)).state is CheckStatus.OK
    no_engine(monkeypatch)
    assert host_checks.disk(run_context("container", **large)).state is CheckStatus.MISSING
    room(monkeypatch, 100_000_000)
    assert host_checks.disk(run_context()).state is CheckStatus.MISSING


def test_little_shared_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's 64 MB, for a run inside a container of the user's own."""
    room(monkeypatch, 64 << 20)
    assert host_checks.shared_memory(run_context()).state is CheckStatus.NOTE
    assert host_checks.shared_memory(run_context("container")).state is CheckStatus.OK


@pytest.mark.parametrize(
    ("name", "host", "state", "told"),
    [
        ("embedded", CPU, CheckStatus.OK, "ctc"),
        (catalog.RECOMMENDED, CPU, CheckStatus.MISSING, "needs CUDA"),
        (catalog.RECOMMENDED, H100, CheckStatus.NOTE, "downloads it first"),
        ("nvidia/nemotron-speech-streaming-en-0.6b", H100, CheckStatus.MISSING, "UNK"),
        ("no-such-base", H100, CheckStatus.MISSING, "neither a file nor a known base"),
    ],
)
def test_the_base(
    monkeypatch: pytest.MonkeyPatch, name: str, host: Hardware, state: CheckStatus, told: str
) -> None:
    """Broken, unknown, not tunable here, still to be downloaded, or fine."""
    monkeypatch.setattr("tasks.models.hub_cache.find_cached", lambda *_: None)
    found = host_checks.base(run_context(base=name, host=host))
    assert found.state is state
    assert told in found.says
    assert found.fix or state is CheckStatus.OK


def test_a_damaged_base_is_found(tmp_path: Path) -> None:
    """Before anything is spent."""
    path = factories.write_nemo(tmp_path / "m.nemo")
    path.write_bytes(path.read_bytes()[:1000])
    found = host_checks.base(run_context(base=str(path)))
    assert found.state is CheckStatus.MISSING
    assert "m.nemo" in found.says
