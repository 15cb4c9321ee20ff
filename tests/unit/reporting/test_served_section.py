"""What is served stands in the report and in the history, as long as it is of the run's model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from asr_flywheel.cli import app
from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.data.cycle_folder import open_cycle
from tasks.evaluation.keyword_change import ALL_CATEGORIES
from tasks.records import run_record
from tasks.records.served_figures import PARITY_NAME, read_served
from tasks.reporting.history import read_history
from tasks.reporting.html.page import render
from tasks.reporting.html.report_data import gather
from tests.support import prepared_cycles

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle

SENTENCE = "tuned onnx-asr int8 loses drugs against tuned onnx-asr fp32: drug 0.1 → 0.3 <b>."


def share(rate: float, hits: int, n: int) -> dict[str, Any]:
    """A share with an interval."""
    return {"rate": rate, "ci": [rate / 2, rate * 1.5], "hits": hits, "n": n}


def arm(name: str, missed: int) -> dict[str, Any]:
    """An arm of the served verdict."""
    return {
        "arm": name,
        "n": 45,
        "ker": {
            ALL_CATEGORIES: share(missed / 20, missed, 20),
            "drug": share(missed / 10, missed, 10),
        },
        "wer": {"rate": 0.081, "ci": [0.06, 0.1]},
        "u_wer": {"rate": 0.012, "ci": None},
        "false_keyword_rows": share(1 / 45, 1, 45),
    }


def write_parity(cycle: Cycle, source: str) -> None:
    """Write what validate-serving leaves of a bundle of the tuned model."""
    bundle = {
        "name": "tuned onnx-asr int8",
        "role": "tuned",
        "source_sha256": source,
        "verdict": "within tolerance",
        "bytes": 16_300_000,
        "equal_texts": 232,
        "rows": 240,
        "causes": [{"cause": "quantisation", "rows": 7}],
    }
    verdict = {
        "rows": "held-out",
        "arms": [arm("tuned NeMo", 1), arm("tuned onnx-asr int8", 3)],
        "comparisons": [{"sentence": SENTENCE}],
    }
    found = Schema.SERVING_PARITY.mark({"bundles": [bundle], "served_verdict": verdict})
    atomic_files.write_json(cycle.path / PARITY_NAME, found)


@pytest.fixture
def cycle(tmp_path: Path) -> Cycle:
    """A finished run's cycle."""
    return open_cycle(prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn()))


def shipped(cycle: Cycle) -> str:
    """The hash of the model that the run ended with."""
    return str(run_record.read(cycle)["sft"]["model_sha256"])


def test_report_and_history_have_the_figures(cycle: Cycle) -> None:
    """Each arm with intervals, each bundle with its causes, and the sentence of the tests."""
    write_parity(cycle, shipped(cycle))
    page = render(gather(cycle, run_record.read(cycle)))
    section = page[page.index("<h2>What is served") : page.index("<h2>Change in missed terms")]
    text = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", section))
    assert "on held-out rows" in text
    assert "KER, drug KER, all WER U-WER" in text
    assert "tuned onnx-asr int8 45 30.0 % 15.0 to 45.0 15.0 % 7.5 to 22.5 8.1 %" in text
    assert "within tolerance 232 of 240 16.3 MB quantisation 7" in text
    assert "loses drugs against" in text
    assert "&lt;b&gt;" in section
    told = read_history(cycle.path.parent).as_dict()["turns"][0]["served"]
    assert told["sentences"] == [SENTENCE]
    assert told["arms"][1]["ker"]["drug"]["ci"] == pytest.approx([0.15, 0.45])
    printed = CliRunner().invoke(app, ["history", str(cycle.path.parent)])
    assert f"Cycle 2, served: {SENTENCE}" in printed.output


def test_without_them_there_is_no_section(cycle: Cycle) -> None:
    """Nothing was validated, or the figures are of a model that a later run has replaced."""
    record = run_record.read(cycle)
    assert read_served(cycle, record) is None
    write_parity(cycle, "0" * 64)
    assert read_served(cycle, record) is None
    assert "What is served" not in render(gather(cycle, record))


def test_a_damaged_file_is_named(cycle: Cycle) -> None:
    """With the command that writes it anew."""
    atomic_files.write_json(
        cycle.path / PARITY_NAME, Schema.SERVING_PARITY.mark({"bundles": [{"name": "a"}]})
    )
    with pytest.raises(InputError, match=r"serving_parity_edge\.json: lacks .*validate-serving"):
        read_served(cycle, run_record.read(cycle))
