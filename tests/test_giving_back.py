"""Giving hosts back where something else goes wrong too: ledgers, records, other reapers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from flows.rental import host_release
from flows.rental.host_release import HostReleaseError
from tasks.gpu_hosts import lease
from tasks.gpu_hosts.lease import Lease
from tasks.records import cost_ledger
from tests.brevs import Brev, all_leases

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


def out(brev: Brev, clinic: Path) -> Lease:
    """A host whose owner was killed."""
    own = {"provider": "brev", "program": str(brev.program), "settle_s": 0}
    left = Lease(own, "", str(clinic / "cycle1"), 1, "l40s", 1.5, account="id-clinic")
    left = Lease(**{**_fields(left), "host": left.open().name})
    lease.write(left)
    known = {"type": "nebius_L40S", "status": "RUNNING", "organisation": "clinic", "listed": 0}
    (brev.folder / "instances.json").write_text(json.dumps({**brev.instances, left.host: known}))
    return left


def _fields(one: Lease) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Lease.__dataclass_fields__}


def rows(folder: Path) -> list[str]:
    """The outcomes in a ledger."""
    return [one.outcome.value for one in cost_ledger.read(folder).entries]


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
    assert "There is: 00000000 (a damaged record)" in unknown.stderr
    done = subprocess.run([*forget, "00000000"], capture_output=True, text=True, check=True)
    assert "forgot 00000000" in done.stdout
    assert lease.ids() == []
