"""Hosts without a run: the question, the host's own clock, what is sent."""

from __future__ import annotations

import os
import pty
import sys
from typing import TYPE_CHECKING, Any

import pytest
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite

from blocks import gpu_host
from flows.rental import confirm
from tasks.data.cycle_folder import open_cycle
from tasks.gpu_hosts import download, lease
from tasks.gpu_hosts.ssh import HostError
from tests.support import remote_flows

if TYPE_CHECKING:
    from pathlib import Path

    from prefect.blocks.core import Block


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of the test's own for records of hosts that are out."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


class TestStandards(BlockStandardTestSuite):
    """What Prefect asks of every block: documentation, an example, described fields."""

    @pytest.fixture(params=gpu_host.BLOCKS)
    def block(self, request: pytest.FixtureRequest) -> Any:
        """Each of the two blocks."""
        return request.param

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """It has none: a logo is fetched from another host, and a clinic's site has no way out."""
        assert block._logo_url is None


@pytest.mark.parametrize(
    ("typed", "yes"),
    [
        ("YES\n", True),
        ("yes\n", False),
        ("Y\n", False),
        (" YES\n", False),
        ("YES please\n", False),
        ("\n", False),
        ("\x04", False),  # Ctrl-D: the end of the input
        ("", False),  # nobody there until the time is up
    ],
)
def test_only_yes_is_a_yes(typed: str, yes: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """At a terminal, exactly these letters; anything else, the end and a time-out are a no."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        os.write(ours, typed.encode())
        assert confirm.confirmed([], 0.5) is yes
    os.close(ours)


def test_without_a_terminal_it_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that pipes YES in is no person."""
    read, write = os.pipe()
    os.write(write, b"YES\n")
    with os.fdopen(read) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        assert confirm.confirmed([], 0.5) is False
    os.close(write)


@pytest.mark.parametrize(
    "broken",
    [
        "cycle2/decision.json",
        f"cycle1/models/{remote_flows.RUN}/adapted_model.nemo",
        f"cycle1/models/{remote_flows.RUN}/training_run_info.json",
        "cycle1/train.jsonl",
    ],
)
def test_a_file_that_is_not_what_was_recorded_is_not_taken_over(
    cycle: Path, tmp_path: Path, broken: str
) -> None:
    """One changed byte, and the error names the file."""
    staging = tmp_path / "staging"
    (staging / "cycle1").mkdir(parents=True)
    remote_flows.write_results(staging / "cycle1")
    assert download.verify(staging, open_cycle(cycle)) == (6, remote_flows.RUN)
    with (staging / broken).open("ab") as out:
        out.write(b"!")
    with pytest.raises(HostError, match=f"{broken}: is not what the run wrote"):
        download.verify(staging, open_cycle(cycle))
    (staging / broken).unlink()
    with pytest.raises(HostError, match=f"{broken}: is missing"):
        download.verify(staging, open_cycle(cycle))


def test_a_lease_is_held_while_its_owner_lives(tmp_path: Path) -> None:
    """Nobody reaps a host whose rental is going on."""
    own = lease.Lease({"provider": "brev"}, "name", str(tmp_path), 1, "l40s", 1.5)
    with lease.hold(own.lease), pytest.raises(BlockingIOError), lease.hold(own.lease):
        pass
    with lease.hold(own.lease):
        pass
