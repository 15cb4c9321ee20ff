"""Renting at Brev, by a program in its command line's place: what is asked and counted."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from flows.provision_gpu import rent
from flows.rental import host_release
from flows.rental.plan import plan
from tasks.gpu_hosts.host_interface import NothingCreatedError
from tasks.gpu_hosts.ssh import HostError
from tasks.records import cost_ledger
from tests.support.brev_stub import (
    Brev,
    all_leases,
    keep_records_in,
    outcomes,
    unreachable_hosts,
    worth_tuning,
)
from tests.support.prefect_site import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of the test's own for records of hosts that are out."""
    return keep_records_in(tmp_path, monkeypatch)


@pytest.fixture
def brev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Brev]:
    """The stand-in, with nothing out; no host gets ready, so nobody calls ssh or rsync."""
    with unreachable_hosts(tmp_path, monkeypatch) as stub:
        yield stub


@pytest.fixture
def worth(tmp_path: Path) -> Path:
    """A cycle that passes the gate."""
    return worth_tuning(tmp_path / "clinic" / "cycle1")


def test_a_host_that_cannot_be_created_is_looked_for_all_the_same(brev: Brev, worth: Path) -> None:
    """A call that failed may have created something: it is sought, and the ledger has a line."""
    brev.goes(fail={"create": "insufficient quota"})
    config = brev.config(worth)
    with pytest.raises(HostError, match="insufficient quota"):
        rent(config, plan(config))
    assert brev.commands == ["ls orgs", "search", "create", "ls orgs", "ls"]
    assert all_leases() == []
    assert outcomes(worth) == ["failed"]


def test_brev_is_asked_for_exactly_the_type_whose_price_was_looked_at(
    brev: Brev, worth: Path
) -> None:
    """The cheapest with one L40S, by its type and disk; not reachable in time, it is deleted."""
    brev.goes(status="DEPLOYING")
    config = brev.config(worth, disk_gb=250)
    with pytest.raises(HostError, match="is not ready after 1 s"):
        rent(config, plan(config))
    search = next(call for call in brev.calls if call[0] == "search")
    assert search[1:] == ["--gpu-name", "L40S", "--min-disk", "250", "--sort", "price", "--json"]
    name, *options = next(call for call in brev.calls if call[0] == "create")[1:]
    assert name.startswith("digital-health-clinical-asr-sft-")
    assert options[:-1] == ["--detached"]  # its time limit has no command, so there is no script
    assert json.loads(options[-1]) == [{"type": "nebius_L40S", "target_disk_gb": 250}]
    assert ["delete", name] in brev.calls
    assert brev.instances == {}
    assert all_leases() == []


def test_a_price_above_the_one_that_was_shown_creates_nothing(brev: Brev, worth: Path) -> None:
    """YES was said to 1.50 $ an hour; at 2.98 $ nobody is asked for a host."""
    brev.goes(prices=2.0)
    config = brev.config(worth)
    with pytest.raises(HostError, match=r"costs 2\.98 \$ an hour now .* YES was said to 1\.50"):
        rent(config, plan(config))
    assert brev.commands == ["ls orgs", "search"]
    assert outcomes(worth) == ["not-created"]


def test_nobody_logged_in_is_no_host_out(brev: Brev, worth: Path) -> None:
    """Brev's own words are passed on; since no host was asked for, there is no alarm."""
    brev.goes(fail={"ls": "you are not logged in: run brev login"})
    config = brev.config(worth)
    with pytest.raises(NothingCreatedError, match="run brev login"):
        rent(config, plan(config))
    assert all_leases() == []
    assert cost_ledger.read(worth.parent).usd == 0


def test_a_host_that_cannot_be_deleted_raises_the_alarm_and_is_found_again(
    brev: Brev, worth: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The alarm names it; `rent --reap` fails while it is out, and gives it back when it can."""
    brev.goes(status="DEPLOYING", fail={"delete": "internal error"})
    config = brev.config(worth)
    with pytest.raises(HostError, match="HOST STILL OUT"):
        rent(config, plan(config))
    (name,) = brev.instances
    assert f"HOST STILL OUT: {name} (brev, l40s, 1.49 $ an hour" in capfd.readouterr().err
    (left,) = all_leases()
    assert (left.host, left.sku) == (name, "l40s")
    reap = [sys.executable, "-m", "asr_flywheel.cli", "rent", "--reap"]
    failed = subprocess.run(reap, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert name in failed.stderr
    brev.goes()
    done = subprocess.run(reap, capture_output=True, text=True, check=False)
    assert (done.returncode, brev.instances, all_leases()) == (0, {}, [])
    assert f"gave back {name}" in done.stdout
    assert outcomes(worth) == ["not-given-back", "not-given-back", "reaped"]


def test_an_order_whose_answer_was_lost_is_found_when_it_shows(brev: Brev, worth: Path) -> None:
    """Brev fails, the host is listed only later: it is waited for, and deleted."""
    brev.goes(late_s=2, fail={"create": "context deadline exceeded"})
    config = brev.config(worth, host={"settle_s": 60})
    with pytest.raises(HostError, match="context deadline exceeded"):
        rent(config, plan(config))
    assert brev.instances == {}
    assert brev.commands[-1] != "delete", "nobody looked whether it has gone"
    assert outcomes(worth) == ["failed"]


def out(brev: Brev, cycle: Path, **script: Any) -> str:
    """Leave a host out, as a killed run does; its name."""
    brev.goes(status="DEPLOYING", fail={"delete": "internal error"}, **script)
    config = brev.config(cycle)
    with pytest.raises(HostError, match="HOST STILL OUT"):
        rent(config, plan(config))
    (name,) = brev.instances
    return name


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (
            {"organisation": "research"},
            "in the organisation clinic, and the active one is research. Fix: `brev set clinic`",
        ),
        (
            {"organisation": "other", "organisations": ["other"]},
            "in the organisation id-clinic, and the active one is other. Fix: `brev login` as",
        ),
        ({"api_key": True}, "and the active one is that of an API key"),
        ({"another_user": True}, "not found"),
    ],
)
def test_a_host_is_not_absent_because_another_login_does_not_find_it(
    brev: Brev, worth: Path, now: dict[str, Any], said: str
) -> None:
    """Another organisation, an API key, another user: the alarm stays until it can be deleted."""
    name = out(brev, worth)
    brev.goes(**now)
    with pytest.raises(HostError, match=f"HOST STILL OUT: {name}") as raised:
        host_release.release_abandoned_hosts()
    assert said in str(raised.value)
    assert [one.host for one in all_leases()] == list(brev.instances) == [name]
    brev.goes()
    assert host_release.release_abandoned_hosts() == [name]
    assert brev.instances == {}


def test_with_an_api_key_absence_is_not_believed(brev: Brev, worth: Path) -> None:
    """A key does not tell its organisation; a host that is listed is deleted, as always."""
    name = out(brev, worth, api_key=True)
    listed = (brev.folder / "instances.json").read_text()
    brev.goes(api_key=True)
    (brev.folder / "instances.json").write_text("{}")
    with pytest.raises(HostError, match="with an API key nobody can tell"):
        host_release.release_abandoned_hosts()
    (brev.folder / "instances.json").write_text(listed)
    assert host_release.release_abandoned_hosts() == [name]


def test_the_organisation_that_pays_must_be_the_active_one(brev: Brev, worth: Path) -> None:
    """Else nothing is created, and the error says how to change it."""
    config = brev.config(worth, host={"organisation": "research"})
    with pytest.raises(NothingCreatedError, match=r"is clinic\. Fix: `brev set research`"):
        rent(config, plan(config))
    assert brev.commands == ["ls orgs"]
    brev.goes(organisation="research", fail={"create": "no quota"})
    with pytest.raises(HostError, match="no quota"):
        rent(config, plan(config))


def test_the_ledger_has_the_price_of_the_offer(brev: Brev, worth: Path) -> None:
    """YES was said to at most 3 $ an hour; 1.49 is what Brev takes."""
    brev.goes(status="DEPLOYING")
    config = brev.config(worth, usd_per_hour=3.0)
    with pytest.raises(HostError, match="not ready"):
        rent(config, plan(config))
    (entry,) = cost_ledger.read(worth.parent).entries
    assert entry.usd_per_hour == 1.49


def test_an_a100_with_half_the_memory_is_not_taken(brev: Brev, worth: Path) -> None:
    """The cheapest A100 has 40 GB; costs and batch are those of 80."""
    brev.goes(status="DEPLOYING")
    config = brev.config(worth, sku="a100")
    with pytest.raises(HostError, match="not ready"):
        rent(config, plan(config))
    wanted = next(call for call in brev.calls if call[0] == "create")[-1]
    assert json.loads(wanted)[0]["type"] == "crusoe_A100_80"


def test_the_host_gets_a_clock_that_runs_though_nobody_reaches_it(
    brev: Brev, worth: Path, tmp_path: Path
) -> None:
    """As its start-up script, at the limit and the time to boot; run here, it ends the "host"."""
    brev.goes(status="DEPLOYING")
    config = brev.config(
        worth, host={"at_limit": f"touch '{tmp_path}/the end'"}, limit_minutes=2, reach_s=1.5
    )
    with pytest.raises(HostError, match="not ready"):
        rent(config, plan(config))
    options = next(call for call in brev.calls if call[0] == "create")
    script = options[options.index("--startup-script") + 1]
    assert script.count("122") == 2
    line = ["sh", "-c", script.replace("122", "1").replace("/run/systemd", "/no/systemd")]
    subprocess.run(line, check=True, timeout=0.9)
    wait_for((tmp_path / "the end").exists, 20)
