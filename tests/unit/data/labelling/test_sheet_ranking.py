"""What is most worth a person's time comes first: decodes that differ, and near misses of terms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.data.labelling.formulary import FormularyTerm
from tasks.data.labelling.near_terms import NearTermFinder
from tasks.data.labelling.sheet_ranking import (
    DecodedRecording,
    SpokenWord,
    measure_disagreement,
    rank,
)

TERMS = ("metoprolol", "metoprolol succinate", "atorvastatin", "aspirin", "CT", "Entresto")
FINDER = NearTermFinder([FormularyTerm(term, "drug", "") for term in TERMS])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("give metroprolol now", [("metroprolol", "metoprolol")]),
        ("a tor vastatin at night", [("a tor vastatin", "atorvastatin")]),
        ("metoprolol and metoprolols", []),
        ("in a city hall", []),
        ("an tresto and metropolol", [("metropolol", "metoprolol"), ("an tresto", "Entresto")]),
        ("metroprolol sucinate", [("metroprolol sucinate", "metoprolol succinate")]),
        ("the aspirins are here", []),
        ("", []),
    ],
)
def test_near_misses_are_found_across_words(text: str, expected: list[tuple[str, str]]) -> None:
    """A term that is there in any form is none, and short terms are left out."""
    assert FINDER.find(text) == expected


def test_disagreement_is_the_mean_share_of_words_that_differ() -> None:
    """Over all shifts, the plain decode included; another spelling is no difference."""
    assert measure_disagreement("one two three four", ["one two three four"] * 8) == 0
    differing = ["one two three four", "one two three", "one x three four", "one two three four"]
    assert measure_disagreement("one two three four", differing) == pytest.approx(2 / 16)
    assert measure_disagreement("an x-ray", ["an x-ray", "an x ray"]) == 0
    assert measure_disagreement("", ["", "a word"]) == pytest.approx(1 / 2)


def test_the_most_doubtful_recording_comes_first() -> None:
    """Then a near miss, then nothing recognised by name, and what is sure comes last."""
    made = [
        DecodedRecording(Path("/sure.wav"), 1.0, "take aspirin", ("take aspirin",) * 2),
        DecodedRecording(Path("/near.wav"), 1.0, "take asperin", ("take asperin",) * 2),
        DecodedRecording(Path("/silent.wav"), 1.0, "", ("", "")),
        DecodedRecording(Path("/odd.wav"), 1.0, "a b c", ("a b c", "x y z w")),
        DecodedRecording(Path("/both.wav"), 1.0, "a asperin", ("a asperin", "x y")),
    ]
    rows = rank(made, FINDER)
    assert [row.recording.audio.stem for row in rows] == ["both", "odd", "silent", "near", "sure"]
    assert rows[0].why == "50% of words differ between decodes; 'asperin' is nearly 'aspirin'"
    assert rows[2].why == "no word was recognised"
    assert rows[4].why == ""
    assert rank(made[1:2], None)[0].worth == 0


def test_an_unsure_decoder_is_worth_a_look_without_any_other_sign() -> None:
    """The three least sure words count, and those under a half are named; none tell nothing."""
    sure = [SpokenWord("take", 0.98)] * 9
    doubtful = [SpokenWord("it", 0.3), SpokenWord("now", 0.6), SpokenWord("at", 0.1)]
    same = ("take it now at",) * 2
    made = [
        DecodedRecording(Path("/silence.wav"), 1.0, same[0], same),
        DecodedRecording(Path("/sure.wav"), 1.0, same[0], same, tuple(sure)),
        DecodedRecording(Path("/unsure.wav"), 1.0, same[0], same, (*sure, *doubtful)),
    ]
    rows = rank(made, FINDER)
    assert [row.recording.audio.stem for row in rows] == ["unsure", "sure", "silence"]
    assert rows[0].worth == pytest.approx(1 - (0.1 + 0.3 + 0.6) / 3)
    assert rows[0].why == "unsure of 'at' (10%), 'it' (30%)"
    assert rows[1].worth == pytest.approx(0.02)
    assert rows[1].why == ""
    assert rows[2].recording.confidence is None
    assert rows[2].worth == 0
