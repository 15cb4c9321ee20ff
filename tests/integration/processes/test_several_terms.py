"""A cycle whose rows list several terms, from the preflight to the decision, by the program."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import factories, stub_programs

if TYPE_CHECKING:
    from pathlib import Path

DRUGS = ("metoprolol", "aspirin", "warfarin", "apixaban", "metformin", "heparin")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cycle of 120 rows: two drugs in most, and a lab value in every third."""
    folder = tmp_path_factory.mktemp("clinic")
    cycle = folder / "cycle1"
    (cycle / "audio").mkdir(parents=True)
    draw = random.Random(1)  # noqa: S311 - repeatable, not secret
    rows: list[dict[str, Any]] = []
    for number in range(120):
        first, second = draw.sample(DRUGS, 2)
        terms = [{"term": term, "entity_category": "drug"} for term in (first, second)]
        if number % 3 == 0:
            terms.append({"term": "troponin", "entity_category": "lab"})
        factories.write_wav(cycle / "audio" / f"{number}.wav", 2.5, seed=number)
        rows.append(
            {
                "audio_filepath": f"audio/{number}.wav",
                "text": f"give {first} and {second} and check the troponin",
                "duration": None,
                "ipa_source": ("override", "magpie_g2p")[number % 2],
                # One row in ten has a single term, as the contract has it.
                **({"terms": terms} if number % 10 else terms[0]),
            }
        )
    factories.write_rows(cycle / "manifest.jsonl", rows)
    heard = [
        {**row, "ref": row["text"], "hyp": re.sub("aspirin|warfarin|heparin", "uh", row["text"])}
        for row in rows
    ]
    factories.write_rows(cycle / "per_sample.json", heard)
    return folder


def program(clinic: Path, *arguments: str) -> str:
    """What the program prints, with the stub in the place of NeMo."""
    done = stub_programs.run_command(clinic, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_stages_count_terms_and_rows(clinic: Path) -> None:
    """Gate, split and score: the n is that of the figure, the minimums are those of rows."""
    gate = json.loads(program(clinic, "gate", "cycle1", "--base", "embedded", "--json"))
    drug = gate["figures"]["priority"]["drug"]
    assert (drug["rows"], drug["n"], drug["rows_with_term"]) == (120, 228, 120)
    parts = json.loads(program(clinic, "split", "cycle1", "--base", "embedded", "--json"))
    counts = parts["counts"]
    assert sum(counts[part]["drug"] for part in counts) == 120
    assert counts["validation"]["lab"] == int(0.2 * 36)
    score = json.loads(program(clinic, "score", "cycle1/per_sample.json", "--json"))
    assert (score["n"], score["n_with_term"], score["rows_with_term"]) == (120, 264, 120)
    assert score["by"]["entity_category"]["lab"] == {"n": 36, "ker": 0.0}


def test_a_run_ends_with_a_decision_on_terms(clinic: Path) -> None:
    """Leaderboard, decision, report and history say how many terms in how many rows."""
    asked = ("--base", "embedded", "--epochs", "2", "--general", "none", "--priority", "drug")
    program(clinic, "run", "cycle1", *asked, "--priority", "lab")
    following = clinic / "cycle2"
    decision = json.loads((following / "decision.json").read_text())
    drug = decision["by"]["drug"]
    assert drug["n"] > drug["rows_with_term"]
    assert "rows_with_term" not in decision["by"]["lab"]
    assert f"of {drug['n']} terms in {drug['rows_with_term']} rows" in " ".join(decision["reasons"])
    board = (following / "leaderboard_cycle2.md").read_text()
    assert f"({drug['n']} in {drug['rows_with_term']} rows)" in board
    page = (following / "report_cycle2.html").read_text(encoding="utf-8")
    assert f"n = {drug['n']} in {drug['rows_with_term']} rows" in page
    again = json.loads(program(clinic, "diff", "cycle2/baseline_hyps.jsonl", "cycle2", "--json"))
    plain = decision["plain"]["drug"]  # both by one decode a row
    assert {name: again["by"]["drug"][name] for name in plain} == plain
    (turn,) = json.loads(program(clinic, "history", ".", "--json"))["turns"]
    assert (turn["ker"]["drug"]["n"], turn["ker"]["drug"]["rows_with_term"]) == (
        drug["n"],
        drug["rows_with_term"],
    )
    lines = (following / "offline_hyps.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert sum(len(row.get("terms", [])) for row in rows) == 264 - 12
