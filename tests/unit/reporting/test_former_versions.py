"""A folder that version 0.1 made is read by this one.

tests/data/demo-0.1.tar.gz holds what `asr-flywheel demo` of commit 5fbbde1 left: every file but the
audio, the model, the report and its figures. Paths of the machine that made it were replaced.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asr_flywheel.cli import app
from tasks.common.schemas import KEY
from tasks.data.cycle_folder import open_cycle
from tasks.records import run_record
from tasks.reporting.history import read_history

ARCHIVE = Path(__file__).parents[2] / "data" / "demo-0.1.tar.gz"


def extract(folder: Path) -> Path:
    """The folder of the two cycles."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "demo"


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """The cycles as 0.1 left them."""
    return extract(tmp_path)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cycles after their report was made again: it is not in the archive."""
    folder = extract(tmp_path_factory.mktemp("former"))
    flywheel("report", folder / "cycle2")
    return folder


def flywheel(*arguments: str | Path) -> str:
    """What a command prints; it must end well."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_its_files_name_no_schema(demo: Path) -> None:
    """Else this would not be a test of the former version."""
    for name in ("run.json", "decision.json", "leaderboard_cycle2.json"):
        assert KEY not in json.loads((demo / "cycle2" / name).read_text())


def test_history_has_its_figures(reported: Path) -> None:
    """No problem is found, and the figures are those that the demo printed."""
    history = read_history(reported)
    assert history.problems == ()
    (turn,) = (turn.as_dict() for turn in history.turns)
    assert (turn["cycle"], turn["decision"], turn["base"]) == (2, "discard", "embedded")
    assert (turn["rows"], turn["held_out"]) == (240, 45)
    assert turn["shipped_value"] is None
    assert (turn["ker"]["drug"]["missed"], turn["ker"]["drug"]["n"]) == (9, 20)
    assert "discard" in flywheel("history", reported)


def test_diff_decides_as_it_did(demo: Path) -> None:
    """On the same files, with general English."""
    cycle = demo / "cycle2"
    printed = flywheel(
        "diff",
        cycle / "baseline_hyps.jsonl",
        cycle / "offline_hyps.jsonl",
        "--general",
        cycle / "general_baseline_hyps.jsonl",
        cycle / "general_hyps.jsonl",
        "--json",
    )
    now, then = json.loads(printed), run_record.read_decision(open_cycle(cycle))
    assert now["decision"] == then["decision"] == "discard"
    for figure in ("ker_a", "ker_b", "fixed", "broken", "n", "p"):
        assert now["by"]["drug"][figure] == pytest.approx(then["by"]["drug"][figure])


def test_report_is_made_again(reported: Path) -> None:
    """Without the audio, which is not there any more."""
    page = (reported / "cycle2" / "report_cycle2.html").read_text(encoding="utf-8")
    assert "0.850 → 0.450" in page
    assert "How training went" in page
    assert "What is shipped" not in page
    assert (reported / "cycle2" / "figures" / "ker_by_category.png").is_file()


def test_files_that_are_written_again_name_their_schema(reported: Path) -> None:
    """The report's hashes go into run.json, which is of this version from then on."""
    record = json.loads((reported / "cycle2" / "run.json").read_text())
    assert record[KEY] == "asr-flywheel-run/1"
