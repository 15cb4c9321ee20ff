"""Giving hosts back where something else goes wrong too: ledgers, records, other reapers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flows.rental import host_release
from flows.rental.host_release import HostReleaseError
from tasks.gpu_hosts import lease
from tasks.gpu_hosts.lease import Lease
from tasks.records import cost_ledger
from tests.support.brev_stub import Brev, all_leases
from tests.support.host_release_cases import out, rows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of the test's own for records of hosts that are out."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(host_release, "_PAUSE_S", 0.01)
    return lease.place()


@pytest.fixture
def brev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Brev:
    """Brev's stand-in."""
    return Brev(tmp_path / "brev", monkeypatch)


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """The folder of the cycles."""
    folder = tmp_path / "clinic"
    (folder / "cycle1").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("wrong", [KeyError("status"), RecursionError(), KeyboardInterrupt()])
def test_whatever_goes_wrong_somebody_is_told(
    brev: Brev,
    clinic: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    wrong: BaseException,
) -> None:
    """Errors that nobody thought of, and Ctrl-C while a host is given back; its record stays."""
    left = out(brev, clinic)

    def fails(_: Lease) -> None:
        raise wrong

    with monkeypatch.context() as patched:
        patched.setattr(Lease, "open", fails)
        interrupted = isinstance(wrong, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt if interrupted else HostReleaseError):
            host_release.release_host(left, cost_ledger.RentalOutcome.FAILED)
    assert f"HOST STILL OUT: {left.host}" in capfd.readouterr().err
    assert [one.host for one in all_leases()] == [left.host]
    assert rows(clinic) == ["not-given-back"]
