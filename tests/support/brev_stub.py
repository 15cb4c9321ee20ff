"""Brev's command line as a recorded stand-in, and a cycle that is worth a host."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.rental import host_release
from flows.rental.config import RentConfig
from tasks.common import atomic_files
from tasks.gpu_hosts import lease
from tasks.records import cost_ledger
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class Brev:
    """Brev's CLI as a recorded stand-in, with nothing out; in a folder that it makes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self.folder = folder
        monkeypatch.setenv("BREV_STANDIN", str(folder))
        (folder / "instances.json").write_text("{}")
        self.goes()
        self.program = folder / "brev"
        source = Path(__file__).with_name("brev_standin.py")
        self.program.write_text(f"#!{sys.executable}\n" + source.read_text())
        self.program.chmod(0o755)

    def goes(self, **script: Any) -> None:
        """What happens from now on: failures by command, the state of new instances, prices."""
        (self.folder / "script.json").write_text(json.dumps(script))

    @property
    def calls(self) -> list[list[str]]:
        """What it was asked."""
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def commands(self) -> list[str]:
        """The same without options."""
        return [" ".join(call[: 1 + (call[1:2] == ["orgs"])]) for call in self.calls]

    @property
    def instances(self) -> dict[str, Any]:
        """What is out."""
        found = json.loads((self.folder / "instances.json").read_text())
        assert isinstance(found, dict)
        return found

    def config(self, cycle: Path, **more: Any) -> RentConfig:
        """A rental there that gives up soon."""
        own = more.pop("host", {})
        return RentConfig.model_validate(
            {
                "run": {"cycle": cycle, "base": "embedded", "general": "none"},
                "host": {
                    "provider": "brev",
                    "program": str(self.program),
                    "ssh_config": str(self.folder / "ssh_config"),
                    "python": sys.executable,
                    "at_limit": "",
                    "settle_s": 0,
                    **own,
                },
                "reach_s": 1,
                **more,
            }
        )


def worth_tuning(folder: Path) -> Path:
    """A cycle that passes the gate: 100 rows with a baseline that misses its terms."""
    (folder / "audio").mkdir(parents=True)
    rows = [
        {**factories.cycle_rows()[row % 10], "audio_filepath": f"audio/{row}.wav"}
        for row in range(100)
    ]
    for row in range(100):
        factories.write_wav(folder / "audio" / f"{row}.wav", seed=row)
    factories.write_rows(folder / "manifest.jsonl", rows)
    told = [{**row, "ref": row["text"], "hyp": "the doctor wrote into it"} for row in rows]
    atomic_files.write_jsonl(folder / "per_sample.json", told)
    return folder


def outcomes(cycle: Path) -> list[str]:
    """What the ledger says."""
    return [one.outcome.value for one in cost_ledger.read(cycle.parent).entries]


def all_leases() -> list[lease.Lease]:
    """Every record of a host that is out."""
    return [found for one in lease.ids() if (found := lease.read(one)) is not None]


def keep_records_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give records of hosts that are out a place of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setattr(host_release, "_PAUSE_S", 0.05)
    return folder / "state"


@contextmanager
def unreachable_hosts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Brev]:
    """The stand-in, with nothing out; no host gets ready, so nobody calls ssh or rsync."""
    brev = Brev(folder / "brev", monkeypatch)
    for name in ("ssh", "rsync"):
        program = brev.folder / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >>{brev.folder}/reached\nexit 255\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(brev.folder), prepend=":")
    yield brev
    assert not (brev.folder / "reached").exists()
