"""The verdict in the report: what limits it, what makes it fragile, and on how much it rests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tasks.data.cycle_folder import open_cycle
from tasks.decision.guardrail import Guardrail
from tasks.evaluation.statistics import Interval
from tasks.records import run_record
from tasks.reporting.html.page import render
from tasks.reporting.html.report_data import gather
from tests.support import prepared_cycles
from tests.support.prepared_cycles import render_report

if TYPE_CHECKING:
    from pathlib import Path


def test_a_guardrail_is_told_with_its_limit(tmp_path: Path) -> None:
    """Where it is unclear, the number of sentences is not told as a number of rows."""
    between = Interval(-0.002, 0.022)
    guardrail = Guardrail(200, 0.036, 0.046, 0.04, 0.05, between, 0.005)
    turn = prepared_cycles.Turn(decision="inconclusive", guardrail=guardrail)
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, turn))
    text = render(gather(cycle, run_record.read(cycle)))
    assert "unclear" in text
    assert "3.6 % → 4.6 % on 200 sentences (difference -0.2 to +2.2 points)" in text
    assert "may rise by 0.5" in text
    assert "would settle it" not in text


def test_the_upper_end_of_the_rise_is_told_with_its_bound(tmp_path: Path) -> None:
    """And that sentences are synthetic; a decision of an older version has neither."""
    between = Interval(-0.002, 0.004)
    guardrail = Guardrail(
        600, 0.036, 0.037, 0.04, 0.05, between, 0.005, upper=0.003, bound=0.01, synthetic=True
    )
    turn = prepared_cycles.Turn(guardrail=guardrail)
    text = render_report(tmp_path / "now", turn)
    assert "on 600 synthetic sentences" in text
    assert "the rise is at most +0.30 points; a model is kept only up to +1.00." in text
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path / "then", 1, turn))
    path = cycle.path / "decision.json"
    decision = json.loads(path.read_text())
    for name in ("upper", "bound", "synthetic"):
        del decision["guardrail"][name]
    path.write_text(json.dumps(decision))
    text = render(gather(cycle, run_record.read(cycle)))
    assert "on 600 sentences" in text
    assert "the rise is at most" not in text


def test_from_the_third_verdict_on_their_number_is_told(tmp_path: Path) -> None:
    """Beside the verdict, before its grounds."""
    second = render_report(tmp_path / "2", prepared_cycles.Turn(verdicts=2))
    assert "verdicts. The best of several" not in second
    third = render_report(tmp_path / "3", prepared_cycles.Turn(verdicts=3))
    assert "These held-out rows have given 3 verdicts." in third[: third.index("<main")]


def test_the_verdicts_fragility_is_one_line(tmp_path: Path) -> None:
    """Beside the reasons; a decision of an older version has none."""
    line = "Fragile: another view would have decided otherwise (strict: discard; alike: two-part)."
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn()))
    path = cycle.path / "decision.json"
    decision = json.loads(path.read_text())
    path.write_text(json.dumps({**decision, "fragility": line}))
    assert f'<p class="note">{line}</p>' in render(gather(cycle, run_record.read(cycle)))
    path.write_text(json.dumps({k: v for k, v in decision.items() if k != "fragility"}))
    assert "Fragile" not in render(gather(cycle, run_record.read(cycle)))


def test_several_decodes_a_row_are_told_beside_the_plain_figures(tmp_path: Path) -> None:
    """The mean that the verdict rests on; a run of one decode a row says nothing of it."""
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn()))
    path = cycle.path / "decision.json"
    decision = json.loads(path.read_text())
    decision["by"] = {"drug": {"ker_a": 0.8, "ker_b": 0.3125, "decodes": 8}}
    path.write_text(json.dumps(decision))
    page = render(gather(cycle, run_record.read(cycle)))
    assert "The verdict rests on 8 decodes of each of these recordings, 7 of them with" in page
    assert "KER goes from 0.800 to <strong>0.312</strong> on average" in page
    del decision["by"]["drug"]["decodes"]
    path.write_text(json.dumps(decision))
    page = render(gather(cycle, run_record.read(cycle)))
    assert "The verdict rests on" not in page


def test_the_guardrail_is_shown_as_it_was_judged(tmp_path: Path) -> None:
    """In the canonical view; an older version's was to the letter."""
    letter = Guardrail(200, 0.1, 0.2, 0.1, 0.2, Interval(0.05, 0.15), 0.005)
    guardrail = Guardrail(
        200, 0.036, 0.037, 0.1, 0.2, Interval(-0.002, 0.004), 0.005, 0.003, to_the_letter=letter
    )
    turn = prepared_cycles.Turn(guardrail=guardrail)
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, turn))
    page = render(gather(cycle, run_record.read(cycle)))
    assert "3.6 % → 3.7 % on 200 sentences" in page
    assert "With 95 % confidence the rise is at most" in page
    path = cycle.path / "decision.json"
    decision = json.loads(path.read_text())
    for name in (
        "canonical_wer_a", "canonical_wer_b", "status_to_the_letter", "upper_confidence",
    ):  # fmt: skip
        del decision["guardrail"][name]
    path.write_text(json.dumps(decision))
    page = render(gather(cycle, run_record.read(cycle)))
    assert "10.0 % → 20.0 % on 200 sentences" in page
    assert "With 90 % confidence the rise is at most" in page
