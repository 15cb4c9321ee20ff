"""Each n that is shown is the number of rows, or of terms, that its figure rests on.

In the threads that the inputs are from, a figure rested on fewer rows than the report said.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tasks.evaluation import leaderboard
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.incremental_scoring import score_file
from tasks.evaluation.result_reading import read_hypotheses
from tasks.evaluation.score_summary import summary_as_dict
from tasks.evaluation.scoring import score
from tasks.evaluation.statistics import ends
from tasks.stages.compare import compare
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

Rows = list[dict[str, Any]]
DRUG = {"term": "aspirin", "entity_category": "drug", "voice_id": "a"}


def rows(*texts: tuple[str, str, dict[str, Any]]) -> Rows:
    """Rows of a reference, a hypothesis and fields."""
    return [
        {"audio_filepath": f"{place}.wav", "ref": ref, "hyp": hyp, **fields}
        for place, (ref, hyp, fields) in enumerate(texts)
    ]


SAID = ("give aspirin 5 mg", "give aspirin 5 mg", DRUG)
TWO = [
    {"term": "aspirin", "entity_category": "drug"},
    {"term": "troponin", "entity_category": "lab"},
]
# The rows, how many have a term, how many terms they have, and how many are missed.
INPUTS: dict[str, tuple[Rows, int, int, int]] = {
    # PigeonDan1/sure-evaluation#1: the rows in which nothing was recognised were left out.
    "empty hypotheses": (rows(SAID, ("give aspirin", "", DRUG), ("give it", "", {})), 2, 2, 1),
    # jitsi/jiwer#98, jonatasgrosman/huggingsound#89: silence has an empty reference.
    "silence": (rows(SAID, ("", "thank you", {}), ("", "", {})), 1, 1, 0),
    # speechbrain/speechbrain#1917: a reference that normalises to nothing.
    "marks alone": (rows(SAID, ("...", "", {}), ("?!", "what", {})), 1, 1, 0),
    # hyperion-ml/hyperion#197: insertions counted as words of the reference.
    "insertions": (rows(SAID, ("give aspirin", "now please give some aspirin", DRUG)), 2, 2, 0),
    # evidentlyai/evidently#240: rows with a missing value were left out of one part of a report.
    "missing values": (
        rows(
            SAID, ("take aspirin", "take it", {"term": "aspirin"}), ("go", "go", {"voice_id": "b"})
        ),
        2,
        2,
        1,
    ),
    # flairNLP/flair#3509: another figure in the place of the count.
    "several terms": (
        rows(SAID, ("aspirin and troponin", "aspirin and", {"terms": TWO, "voice_id": "b"})),
        2,
        3,
        1,
    ),
    # belambert/asr-evaluation#23: wrong rows were taken for the number of rows.
    "one row is right": (rows(SAID, *[("take aspirin", "take", DRUG)] * 4), 5, 5, 4),
}
EACH_INPUT = pytest.mark.parametrize(
    ("made", "with_term", "terms", "missed"), INPUTS.values(), ids=list(INPUTS)
)


@EACH_INPUT
def test_the_counts_of_a_score_are_those_of_its_figures(
    tmp_path: Path, made: Rows, with_term: int, terms: int, missed: int
) -> None:
    """KER and its interval by terms, WER and false keywords by rows, pooled WER by words."""
    told = summary_as_dict(score_file(factories.write_rows(tmp_path / "h.jsonl", made)))
    assert told["n"] == len(made)
    assert (told["n_with_term"], told.get("rows_with_term", terms)) == (terms, with_term)
    assert told["ker"] == missed / terms
    assert told["intervals"]["ker"] == ends(Proportion(missed, terms, with_term).interval)
    assert told["spelling"]["n"] == terms
    for name, values in told["by"].items():
        counted = sum(value["n"] for value in values.values())
        # A row of several terms counts once for each of them in every field.
        assert counted == terms, name
        assert sum(value["n"] * (value["ker"] or 0) for value in values.values()) == missed
    assert told["false_keywords"]["n"] == len(made)
    words = [len(row["ref"].strip("?!.").split()) for row in made]
    edits = told["pooled_wer"] * sum(words)
    assert edits == pytest.approx(round(edits))
    strict = told["strict"]
    assert strict["n"] <= len(made)
    assert all(kind["n"] <= strict["n"] for kind in strict["by"].values())


@EACH_INPUT
def test_the_leaderboard_shows_the_same_counts(
    tmp_path: Path, made: Rows, with_term: int, terms: int, missed: int
) -> None:
    """In its headline and in each breakdown."""
    scores = score(read_hypotheses(factories.write_rows(tmp_path / "h.jsonl", made)))
    board = leaderboard.Leaderboard(1, leaderboard.baseline_entries("base", scores))
    sections: dict[str, Any] = json.loads(json.dumps(board.as_dict()["sections"]))
    (headline,) = sections["headline"]
    assert (headline["n"], headline["n with term"]) == (len(made), terms)
    assert headline.get("in rows", terms) == with_term
    assert sum(line["n"] for line in sections["entity_category"]) == terms
    assert sum(line["n"] for line in sections["term"]) == terms
    assert sum(line["n"] * line["KER"] for line in sections["term"]) == missed


@pytest.mark.parametrize(
    ("left_out", "where"),
    [([1, 2], "only_in_a"), ([0], "only_in_a"), ([1, 2], "only_in_b"), ([4], "only_in_b")],
)
def test_rows_of_one_evaluation_alone_are_in_no_count(
    tmp_path: Path, left_out: list[int], where: str
) -> None:
    """wenet-e2e/wenet#552 left out what was not recognised; here it is told, and no n has it."""
    whole = rows(*[("take aspirin", "take", DRUG)] * 4, ("no fever", "no fever", {}))
    part = [row for place, row in enumerate(whole) if place not in left_out]
    paths = [
        factories.write_rows(tmp_path / f"{name}.jsonl", made)
        for name, made in (("a", whole), ("b", part))
    ]
    before, after = paths if where == "only_in_a" else paths[::-1]
    found = compare(before, after, None, ["drug"])
    kept = [row for row in part if row.get("term")]
    assert found[where] == len(left_out)
    assert (found["rows"], found["by"]["drug"]["n"]) == (len(part), len(kept))
    assert any(f"of {len(kept)} rows missed" in reason for reason in found["reasons"])
