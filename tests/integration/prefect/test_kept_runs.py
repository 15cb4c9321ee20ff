"""A cycle that is run again, after a run whose model was kept or whose tuned model was not."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import hashing
from tasks.stages.shipped_model import discard_tuned
from tests.support import factories, prefect_site, stub_programs

if TYPE_CHECKING:
    from pathlib import Path

    from asr_flywheel.site.local_site import Site
    from tasks.stages.shipped_model import ShippedModel


class KilledError(BaseException):
    """What ends a run at once, as a kill does."""


def results(cycle: Path) -> dict[str, str]:
    """The hash of each file that a run left, where it is the same in every run."""
    clinic = cycle.parent
    # They hold the times of the run.
    changing = {"run.json", "report_cycle2.html", "audit.jsonl", ".audit-head.json"}
    return {
        path.relative_to(clinic).as_posix(): hashing.sha256_file(path)
        for path in clinic.rglob("*")
        if path.is_file() and path.name not in changing
    }


def test_a_kept_model_outlives_a_run_that_discards(
    site: Site, trained_cycle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told before and after, in the report too; its hand-off works as it is told."""
    general = factories.make_general(trained_cycle.parent.parent / "general", 100)
    following = trained_cycle.with_name("cycle2")
    prefect_site.run_here(site, trained_cycle, general=str(general), interpolate=0.9)
    decision = (following / "decision.json").read_bytes()
    assert json.loads(decision)["decision"] == "keep"
    (model,) = trained_cycle.glob("models/*/adapted_model.nemo")
    sha256 = hashing.sha256_file(model)
    capsys.readouterr()

    (general.parent / stub_programs.FORGOTTEN).touch()
    prefect_site.run_here(site, trained_cycle, general=str(general), interpolate=0.5)
    told = capsys.readouterr().out
    found = json.loads((following / "decision.json").read_text())
    assert found["decision"] == "discard"
    assert hashing.sha256_file(model) != sha256
    (preserved,) = (following / "kept").iterdir()
    assert (preserved / "cycle2" / "decision.json").read_bytes() == decision
    (named,) = found["kept_runs"]
    assert named["model_sha256"] == sha256
    assert trained_cycle.parent / named["folder"] == preserved

    (before,) = re.findall(r"^ *kept  (.*)$", told, re.MULTILINE)
    (after,) = re.findall(r"^ *(An earlier run of this cycle was kept: .*)$", told, re.MULTILINE)
    assert told.index(before) < told.index("  sft  ") < told.index(after)
    page = (following / "report_cycle2.html").read_text(encoding="utf-8")
    (in_page,) = re.findall(r"(An earlier run of this cycle was kept: .*)</p>", page)
    for line, folder in ((before, preserved), (after, preserved), (in_page, trained_cycle.parent)):
        assert f"SHA-256 {sha256[:12]}, value 0.9; verdict keep" in line
        (command,) = re.findall(r"`asr-flywheel (.*?)`", line)
        handed = stub_programs.run_command(folder, *shlex.split(command), "--json")
        assert handed.returncode == 0, handed.stdout + handed.stderr
        handoff = json.loads((preserved / "cycle2/handoff/handoff.json").read_text())
        assert handoff["measured_model_sha256"] == sha256
    refused = stub_programs.run_command(trained_cycle.parent, "handoff", "cycle1")
    assert refused.returncode == 3
    assert str(preserved / "cycle1") in refused.stdout + refused.stderr


def test_a_discarded_tuned_model_leaves_the_same_leaderboard(
    site: Site, trained_cycle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed as it discards it, once more: the files of a run that was not."""
    asked: dict[str, Any] = {"interpolate": 0.5, "variants": 1, "keep_tuned": False}

    def discard_and_die(shipped: ShippedModel) -> None:
        discard_tuned(shipped)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("flows.finetune_cycle.discard_tuned", discard_and_die)
        with pytest.raises(KilledError):
            prefect_site.run_here(site, trained_cycle, **asked)
    assert not [*trained_cycle.glob("models/*/tuned_model.nemo")]
    first = results(trained_cycle)
    prefect_site.run_here(site, trained_cycle, **asked)
    assert results(trained_cycle) == first
    board = trained_cycle.with_name("cycle2") / "leaderboard_cycle2.md"
    assert ", unmixed" in board.read_text()
