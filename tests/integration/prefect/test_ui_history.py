"""The UI and ``asr-flywheel history`` tell the same story of a clinic's cycles."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from asr_flywheel.cli import app
from flows import artifacts
from tasks.data.cycle_folder import open_cycle
from tasks.decision import evidence
from tasks.decision.verdict import decide
from tasks.evaluation import diff
from tasks.evaluation.result_reading import read_hypotheses
from tasks.evaluation.scoring import score
from tasks.records import run_record
from tests.support import prefect_site
from tests.support.prepared_cycles import Turn, finish_turn

if TYPE_CHECKING:
    from pathlib import Path

    from asr_flywheel.site.local_site import Site

PRIORITY = ("drug",)
TERMS = ("aspirin", "metformin", "warfarin")
TRAINED = (30, 20, 5)
TURNS = (Turn((30, 24, 12), TRAINED), Turn((30, 12, 12), TRAINED), Turn((30, 6, 21), TRAINED))


def finish(site: Site, root: Path, number: int, turn: Turn) -> None:
    """Leave a turn as a run does, and publish what a run publishes of it."""
    finish_turn(root, number, turn, TERMS)
    cycle = open_cycle(root / f"cycle{number + 1}")
    before, after = (
        score(read_hypotheses(path))
        for path in (cycle.path / run_record.BASELINE_NAME, cycle.offline_hyps)
    )
    pairing = diff.pair(before, after)
    grounds = evidence.evidence(pairing)
    decided = decide(grounds, PRIORITY)
    finish_turn(root, number, replace(turn, decision=decided.verdict.value), TERMS)
    with prefect_site.speaking_to(site):
        all_rows = evidence.read_all_rows(pairing, PRIORITY)
        artifacts.decision(cycle, decided, all_rows, grounds.judged)


def history_of(site: Site, key: str) -> list[dict[str, Any]]:
    """The artifacts of a key, the oldest first: what the UI lists under it."""
    found: list[dict[str, Any]] = prefect_site.call(
        site, "POST", "artifacts/filter", artifacts={"key": {"any_": [key]}}, sort="CREATED_DESC"
    )
    return found[::-1]


def test_three_cycles_have_one_story(site: Site, tmp_path: Path) -> None:
    """The same verdicts and the same KER of each category, cycle by cycle."""
    root = tmp_path / "ward-9"
    for number, turn in enumerate(TURNS, start=1):
        finish(site, root, number, turn)
    told = CliRunner().invoke(app, ["history", str(root), "--json"])
    assert told.exit_code == 0, told.output
    turns = json.loads(told.stdout)["turns"]
    assert len({turn["decision"] for turn in turns}) > 1, "a story with one verdict proves little"
    decisions = [one["data"].splitlines()[0] for one in history_of(site, "ward-9-decision")]
    assert decisions == [f"# Cycle {turn['cycle']}: {turn['decision']}" for turn in turns]
    for turn, shown in zip(turns, history_of(site, "ward-9-diff"), strict=True):
        table = {row["category"]: row["KER after"] for row in json.loads(shown["data"])}
        assert int(re.findall(r"\d+", shown["description"])[-1]) == turn["cycle"]
        for category, share in turn["ker"].items():
            assert table[category] == f"{share['missed'] / share['n']:.4f}"
