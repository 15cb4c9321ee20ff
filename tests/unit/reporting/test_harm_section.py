"""Harm that was looked for has a section of the report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tasks.data.cycle_folder import open_cycle
from tasks.decision.group_check import check_groups
from tasks.decision.guardrail import GuardrailPolicy
from tasks.decision.joined_check import JoinedTexts, check_joined
from tasks.decision.nonspeech_check import check_nonspeech
from tasks.decision.writing_check import check_writing
from tasks.evaluation.diff import term_missed
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.scoring import score
from tasks.records import run_record
from tasks.reporting.html.harm_section import describe_harms
from tasks.reporting.html.page import render
from tasks.reporting.html.report_data import gather
from tests.support import prepared_cycles

if TYPE_CHECKING:
    from pathlib import Path


def test_harm_that_was_looked_for_has_a_line_each(tmp_path: Path) -> None:
    """Long recordings, silence, writing and voices, as decision.json holds them; a loss first."""
    finished = prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn())
    texts = ("we walked along the river",) * 60
    half = JoinedTexts(120, texts, " ".join(texts), " ".join(texts[:30]))
    general = score([Hypothesis("a.wav", texts[0], texts[0])])
    cycle = open_cycle(finished)
    rows = gather(cycle, run_record.read(cycle)).judged
    path = finished / "decision.json"
    decision = json.loads(path.read_text())
    decision |= {
        check.name: check.as_dict()
        for check in (
            check_joined([half], GuardrailPolicy()),
            check_writing(general, general),
            check_groups(rows, term_missed),
        )
    }
    decision["nonspeech"] = check_nonspeech(
        ["oh", ""], ["oh", "oh oh"], [], ["hum", "hiss"]
    ).as_dict()
    path.write_text(json.dumps(decision))
    lines = describe_harms(decision)
    assert [(line.name, line.finding) for line in lines[:6]] == [
        ("WER of joined sentences, 120 s", "broken"),
        ("WER of joined sentences, all lengths", "broken"),
        ("words found where nobody speaks", "held"),
        ("terms found where nobody speaks", "held"),
        (
            "punctuation F1",
            "not applicable: the references have 0 marks, fewer than 20",
        ),
        ("case accuracy", "not applicable: the references have 0 capitals, fewer than 20"),
    ]
    assert [line.name for line in lines[6:]] == ["KER, voice voice0", "KER, voice voice1"]
    assert (lines[0].before, lines[0].after, lines[0].change) == ("0.0 %", "50.0 %", "+50.0")
    page = render(gather(cycle, run_record.read(cycle)))
    assert "Harm looked for" in page
    assert "WER of joined sentences, 120 s" in page
