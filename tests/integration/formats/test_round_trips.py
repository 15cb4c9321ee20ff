"""A cycle that is exported and imported again has the same split, figures and decision."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tasks.data.audio_checks import AudioLimits
from tasks.data.cycle_folder import open_cycle
from tasks.data.exporters.exporting import NAMES, export_cycle
from tasks.data.preflight import preflight
from tasks.data.training_set import split_checked
from tasks.decision.evidence import evidence
from tasks.decision.verdict import decide
from tasks.evaluation.scoring import score
from tasks.stages.compare import SupplementaryResults, build_leaderboard
from tasks.transcription.audio_sets import Transcript
from tasks.transcription.rows import hypotheses
from tests.support import corpora, factories

if TYPE_CHECKING:
    from pathlib import Path

TERMS = {
    "drug": ("metoprolol", "aspirin", "warfarin", "atorvastatin"),
    "procedure": ("biopsy", "angiogram"),
}
ROWS = 90


def make_cycle(folder: Path) -> Path:
    """Ninety recordings of 16 kHz and 16 bits, a few with two terms, some narrow, four voices."""
    cycle = folder / "cycle1"
    rows = []
    for number in range(ROWS):
        corpora.write(cycle / f"audio/{number}.wav", corpora.speech(0.3, seed=number))
        category = "procedure" if number % 3 == 2 else "drug"
        term = TERMS[category][number % len(TERMS[category])]
        row: dict[str, Any] = {
            "audio_filepath": f"audio/{number}.wav",
            "text": f"please note {term} and the chart of bed {number}",
            "duration": 0.3,
            "term": term,
            "entity_category": category,
            "ipa_source": ("override", "magpie_g2p")[number % 2],
            "voice_id": f"voice {number % 4}",
            "noise_level": ("clean", "snr_5db")[number % 2],
            "context_type": "dictation",
        }
        if number % 10 == 0:
            row["terms"] = [
                {"term": term, "entity_category": category},
                {"term": "chart", "entity_category": "role"},
            ]
        if number % 4 == 0:
            row["bandwidth"] = "narrow"
        rows.append(row)
    factories.write_rows(cycle / "manifest.jsonl", rows)
    return cycle


def evaluate(cycle: Path, *, in_order: bool = True) -> tuple[Any, Any, Any]:
    """Split, leaderboard and decision; a hypothesis depends on a recording's samples alone."""
    checked = preflight(cycle / "manifest.jsonl", AudioLimits(factories.RATE), None)
    checked.raise_errors()
    rows = list(checked.rows)
    if not in_order:
        rows.sort(key=lambda row: row.audio_sha256)
    split = split_checked(checked.rows, fraction=0.4, seed=42, selection=0.2)
    sides = []
    for name, wrong in (("base", 1.0), ("tuned", 0.1)):
        texts = []
        for row in rows:
            text = row.utterance.text
            chance = random.Random(f"{name} {row.audio_sha256}")  # noqa: S311 - repeatable
            for item in row.utterance.flagged:
                if chance.random() < wrong:
                    text = text.replace(item.term, item.term[:3] + " " + item.term[3:])
            texts.append(text)
        transcript = Transcript(cycle, tuple(texts), 0, 0.0, 0.0)
        sides.append(score(hypotheses(rows, transcript, split)))
    base, tuned = sides
    board, pairing = build_leaderboard(
        2, ("base", "tuned"), base, tuned, None, None, SupplementaryResults((), None, 0)
    )
    by_row = {row.utterance.row: row.audio_sha256 for row in checked.rows}
    parts = {
        name: sorted(by_row[row] for row in getattr(split, name))
        for name in ("train", "selection", "validation")
    }
    return (
        parts,
        board.as_dict(),
        decide(evidence(pairing, guardrail=factories.held_guardrail()), ["drug"]).as_dict(),
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cycle."""
    return make_cycle(tmp_path_factory.mktemp("original"))


def without_paths(value: Any) -> Any:
    """The same figures without the names of recordings, which an import makes anew."""
    if isinstance(value, dict):
        return {key: without_paths(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_paths(one) for one in value]
    is_name = isinstance(value, str) and value.endswith((".wav", ".flac"))
    return "a recording" if is_name else value


@pytest.mark.parametrize("name", NAMES)
def test_the_decision_survives_export_and_import(original: Path, tmp_path: Path, name: str) -> None:
    """Every part of the split by its samples, every figure with its interval, and the verdict.

    Kaldi's tables are sorted, and bootstrap intervals hang on the rows' order; so there the rows of
    both sides are put into one order.
    """
    in_order = name != "kaldi"
    parts, board, decision = evaluate(original, in_order=in_order)
    export_cycle(open_cycle(original), name, tmp_path / "out")
    source = tmp_path / "out" / ("manifest.csv" if name == "csv" else "")
    corpora.run(source, tmp_path / "cycle1")
    again_parts, again_board, again_decision = evaluate(tmp_path / "cycle1", in_order=in_order)
    assert again_parts == parts
    assert without_paths(again_board) == without_paths(board)
    assert again_decision == decision
    assert decision["decision"] == "keep"  # so that a change of it could be seen
    assert board["bandwidth"]
