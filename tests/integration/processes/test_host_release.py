"""Giving hosts back by a program in Brev's place: ledgers, records, other reapers."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flows.rental import host_release
from flows.rental.host_release import HostReleaseError
from tasks.gpu_hosts import lease
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


def test_a_broken_ledger_takes_neither_the_alarm_nor_the_cost(
    brev: Brev, clinic: Path, state: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The alarm comes first; the row goes into the state folder, or at least to standard error."""
    left = out(brev, clinic)
    (clinic / cost_ledger.LEDGER_NAME).mkdir()
    brev.goes(fail={"delete": "internal error"})
    with pytest.raises(HostReleaseError, match="internal error"):
        host_release.release_abandoned_hosts()
    assert f"HOST STILL OUT: {left.host}" in capfd.readouterr().err
    assert rows(state) == ["not-given-back"]
    brev.goes()
    assert host_release.release_abandoned_hosts() == [left.host]
    assert rows(state) == ["not-given-back", "reaped"]
    (state / cost_ledger.LEDGER_NAME).unlink()
    (state / cost_ledger.LEDGER_NAME).mkdir()
    left = out(brev, clinic)
    assert host_release.release_abandoned_hosts() == [left.host]
    said = capfd.readouterr().err
    assert "no ledger takes this row" in said
    assert left.host in said
    assert all_leases() == []


@pytest.mark.parametrize(
    "told",
    [
        {"instances": []},
        {"workspaces": [{"id": "1"}]},
        [{"name": "clinic"}],
        [1],
    ],
)
def test_an_answer_of_another_form_raises_the_alarm(brev: Brev, clinic: Path, told: object) -> None:
    """A newer Brev may tell other fields: that is a failure like any other, and tried again."""
    left = out(brev, clinic)
    brev.goes(tell={"ls": told})
    with pytest.raises(HostReleaseError, match=f"{left.host}.* told something else than was"):
        host_release.release_abandoned_hosts()
    assert brev.commands == ["ls orgs"] * 3


def test_two_reapers_count_a_host_once(
    brev: Brev, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has listed the records; before it goes on, another one has given the host back."""
    left = out(brev, clinic)
    listed = lease.ids()
    assert host_release.release_abandoned_hosts() == [left.host]
    with monkeypatch.context() as patched:
        patched.setattr(lease, "ids", lambda: listed)
        assert host_release.release_abandoned_hosts() == []
    assert brev.commands.count("delete") == 1
    assert rows(clinic) == ["reaped"]


@pytest.mark.parametrize("damage", ["{", '{"provider": {}}', '{"later": 1}'])
def test_a_damaged_record_is_named_and_stops_no_other(
    brev: Brev, clinic: Path, state: Path, damage: str
) -> None:
    """The hosts of the others are given back; the record stays until a person has looked."""
    left = out(brev, clinic)
    (state / "00000000.json").write_text(damage)
    with pytest.raises(HostReleaseError, match=r"00000000\.json: .* --forget 00000000"):
        host_release.release_abandoned_hosts()
    assert brev.instances == {}
    assert rows(clinic) == ["reaped"]
    assert lease.ids() == ["00000000"] != [left.lease]
    forget = [sys.executable, "-m", "asr_flywheel.cli", "rent", "--forget"]
    unknown = subprocess.run([*forget, "no"], capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
    assert "Fix: one of 00000000 (a damaged record)" in unknown.stderr
    done = subprocess.run([*forget, "00000000"], capture_output=True, text=True, check=True)
    assert "forgot 00000000" in done.stdout
    assert lease.ids() == []
