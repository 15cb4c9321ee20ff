"""KER by voice and by group: a loss for some speakers is a harm, whatever all rows gained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tasks.decision.decision_table import Verdict
from tasks.decision.evidence import evidence
from tasks.decision.group_check import check_groups
from tasks.decision.verdict import decide
from tasks.evaluation import diff
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.scoring import score
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.evaluation.scoring import UtteranceScore

# A voice's rows: how many were fixed, how many broken, how many found by both.
Rows = tuple[str, int, int, int]


def pairing(voices: Sequence[Rows], *, group: str | None = None) -> diff.PairedScores:
    """Rows of drugs by voice, each of a term of its own."""
    sides: tuple[list[Hypothesis], list[Hypothesis]] = ([], [])
    for voice, fixed, broken, found in voices:
        for place in range(fixed + broken + found):
            number = len(sides[0])
            ref = f"give drug{number} now"
            wrong = "give it now"
            heard = (wrong, ref) if place < fixed else (ref, wrong)
            heard = (ref, ref) if place >= fixed + broken else heard
            for side, hyp in zip(sides, heard, strict=True):
                side.append(
                    Hypothesis(
                        f"{number}.wav",
                        ref,
                        hyp,
                        f"drug{number}",
                        "drug",
                        voice_id=voice,
                        group=group,
                    )
                )
    return diff.pair(score(sides[0]), score(sides[1]))


def test_a_voice_that_lost_discards_a_model_that_gained() -> None:
    """Forty rows fixed for one voice do not outweigh nine broken for another."""
    rows = pairing([("anna", 40, 0, 20), ("björn", 0, 9, 21)])
    grounds = evidence(rows, guardrail=factories.held_guardrail())
    decision = decide(grounds, ("drug",))
    assert decision.verdict is Verdict.DISCARD
    assert "shown to be worse for voice björn: KER 0.000 → 0.300 on 30 rows" in " ".join(
        decision.reasons
    )
    groups = decision.as_dict()["groups"]
    assert isinstance(groups, dict)
    assert [(one["value"], one["worse"]) for one in groups["groups"]] == [
        ("anna", False),
        ("björn", True),
    ]


def test_a_loss_that_chance_explains_is_told_and_nothing_more() -> None:
    """Three rows broken are no evidence; the model is kept."""
    rows = pairing([("anna", 40, 0, 20), ("björn", 0, 3, 27)])
    decision = decide(evidence(rows, guardrail=factories.held_guardrail()), ("drug",))
    assert decision.verdict is Verdict.KEEP
    told = [reason for reason in decision.reasons if reason.startswith("By voice and group")]
    assert len(told) == 1
    assert "2 voices" in told[0]
    assert "voice björn" in told[0]


@pytest.mark.parametrize(("others", "worse"), [(0, True), (20, False)])
def test_many_voices_are_not_many_chances(others: int, *, worse: bool) -> None:
    """Seven rows broken are shown alone (p .008), and not where twenty others were looked at."""
    voices = [("björn", 0, 7, 10), *((f"v{number:02}", 0, 0, 5) for number in range(others))]
    found = check_groups(pairing(voices), diff.term_missed)
    assert any(group.worse for group in found.groups) is worse
    assert (found.harm is not None) is worse


def test_one_term_that_all_say_is_no_loss_of_the_voice() -> None:
    """Of five terms that changed one has nine broken rows: over terms chance explains it."""
    rows = pairing([("björn", 4, 12, 10)])
    pairs = [
        diff.ScorePair(*(_with_term(side, place) for side in (pair.before, pair.after)))
        for place, pair in enumerate(rows.pairs)
    ]
    clustered = diff.PairedScores(tuple(pairs), 0, 0)
    assert check_groups(rows, diff.term_missed).groups[0].p_adjusted < 0.05
    assert not check_groups(clustered, diff.term_missed).groups[0].worse


def _with_term(row: UtteranceScore, place: int) -> UtteranceScore:
    term = "ibuprofen" if 4 <= place < 16 else f"term{place}"
    (occurrence,) = row.occurrences
    return replace(
        row,
        row=replace(row.row, term=term),
        occurrences=(replace(occurrence, term=term),),
    )


def test_groups_of_the_manifest_are_compared_too() -> None:
    """A row counts for its voice and for its group, and both are tested together."""
    found = check_groups(pairing([("anna", 0, 9, 10)], group="ward 3"), diff.term_missed)
    assert [(one.field, one.value) for one in found.groups] == [
        ("voice_id", "anna"),
        ("group", "ward 3"),
    ]
    assert found.harm is not None
    assert "group ward 3" in found.harm


def test_rows_without_voice_or_group_are_not_looked_at() -> None:
    """Then the decision has no such block, as in a former version."""
    rows = pairing([("", 40, 0, 20)])
    decision = decide(evidence(rows, guardrail=factories.held_guardrail()), ("drug",))
    assert "groups" not in decision.as_dict()
