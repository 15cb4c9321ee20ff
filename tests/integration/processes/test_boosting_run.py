"""Boosting from the command line, in a run and at the gate, with the stub in the place of NeMo."""

from __future__ import annotations

import json
import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import factories, stub_programs

if TYPE_CHECKING:
    from pathlib import Path

DRUGS = ("metoprolol", "aspirin", "warfarin", "apixaban", "metformin", "heparin")
OPTIONS = ("--base", "embedded", "--general", "none", "--selection-share", "0.25")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cycle of 120 rows with a drug each, most of which the baseline lacks; and a formulary."""
    folder = tmp_path_factory.mktemp("clinic")
    cycle = folder / "cycle1"
    (cycle / "audio").mkdir(parents=True)
    draw = random.Random(1)  # noqa: S311 - repeatable, not secret
    rows: list[dict[str, Any]] = []
    for number in range(120):
        drug = draw.choice(DRUGS)
        factories.write_wav(cycle / "audio" / f"{number}.wav", 2.5, seed=number)
        rows.append(
            {
                "audio_filepath": f"audio/{number}.wav",
                "text": f"give {drug} and look again",
                "duration": None,
                "term": drug,
                "entity_category": "drug",
            }
        )
    factories.write_rows(cycle / "manifest.jsonl", rows)
    heard = [{**row, "ref": row["text"], "hyp": "give it and look again"} for row in rows]
    factories.write_rows(cycle / "per_sample.json", heard)
    (cycle / "formulary.txt").write_text("\ufeffAspirin\nwarfarin\nheparin\n\n# end\naspirin\n")
    return folder


def test_a_nemo_that_cannot_boost_ends_a_run_before_it_trains(clinic: Path, tmp_path: Path) -> None:
    """The fault has a name and a remedy, and no training has begun."""
    programs = tmp_path / "programs"
    shutil.copytree(stub_programs.STUB, programs)
    line = "phrase boosting is not available: NeMo 2.4.0 has no boosting tree"
    (programs / "boost_strengths.py").write_text(f"import sys\nsys.exit({line!r})\n")
    ended = stub_programs.run_command(
        clinic, "run", "cycle1", *OPTIONS, "--epochs", "1", "--boost", "auto", programs=programs
    )
    assert ended.returncode == 1
    assert "no-boosting: phrases cannot be boosted here" in ended.stderr
    assert not (clinic / "cycle1" / "models").exists()


def test_command_writes_what_the_gate_reads(clinic: Path) -> None:
    """The formulary of the cycle is judged; the gate adds its answer and keeps its own."""
    before = json.loads(
        stub_programs.run_command(clinic, "gate", "cycle1", *OPTIONS[:2], "--json").stdout
    )
    ended = stub_programs.run_command(clinic, "boost", "cycle1", *OPTIONS, "--json")
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["base"] == "embedded"
    assert result["list"] == "formulary, 3 phrases"
    assert result["lists"]["judged list"]["duplicates"] == ["aspirin"]
    assert result["boosted"]["judged list"]["choice"]["chosen"]
    assert (clinic / "cycle1" / "phrases.txt").read_text() == "aspirin\nwarfarin\nheparin\n"
    page = (clinic / "cycle1" / "boost_cycle1.html").read_text()
    assert "Boosting embedded at strength" in page
    assert "<h3>Strength, base boosted, judged list</h3>" in page
    assert "<script" not in page
    after = json.loads(
        stub_programs.run_command(clinic, "gate", "cycle1", *OPTIONS[:2], "--json").stdout
    )
    answer = after.pop("boosting")
    assert answer["outcome"].startswith("boosting-")
    assert f"strength {result['strength']:g}" in answer["message"]
    assert after == before


def test_a_run_compares_four_models(clinic: Path) -> None:
    """Leaderboard and decision hold base and tuned model, with and without phrases."""
    ended = stub_programs.run_command(
        clinic, "run", "cycle1", *OPTIONS, "--epochs", "2", "--boost", "auto"
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    following = clinic / "cycle2"
    decision = json.loads((following / "decision.json").read_text())
    boosting = decision["boosting"]
    assert boosting["chosen"] in {"base boosted", "tuned boosted", "tuned"}
    assert len(boosting["comparisons"]) == 6
    assert boosting["decision"]["basis"] == "held-out"
    four = ["base", "base boosted", "tuned", "tuned boosted"]
    assert list(boosting["models"]) == four
    assert all(list(term["missed"]) == four for term in boosting["terms"])
    assert sum(term["n"] for term in boosting["terms"]) == boosting["comparisons"][0]["n"]
    for model in ("base boosted", "tuned boosted"):
        tried = boosting["strengths"][model]
        assert [one["strength"] for one in tried if one["chosen"]] == [boosting["strength"][model]]
        assert all(one["false_keywords"]["n"] for one in tried)
    assert boosting["terms_without_audio"] is None, "each of six drugs stands in a trained row"
    assert "<h2>Boosted phrases" in (following / "report_cycle2.html").read_text()
    board = (following / "leaderboard_cycle2.md").read_text()
    assert "embedded, boosted" in board
    assert "embedded tuned, boosted" in board
    assert boosting["findings"][0] in board
    assert (following / "phrases.txt").read_text() == "aspirin\nwarfarin\nheparin\n"
    record = json.loads((following / "run.json").read_text())
    assert any("phrases.txt" in str(file) for file in record["files"])
