"""Base and tuned model, with and without phrases: the choice of one, and the tests of all pairs."""

from __future__ import annotations

import pytest

from tasks.decision.guardrail import GuardrailPolicy
from tasks.decision.mixture_choice import Candidate
from tasks.evaluation.hypotheses import Hypothesis, Partition
from tasks.evaluation.scoring import Scores, score
from tasks.stages.boosted_arms import (
    ARMS,
    BASE_ARM,
    BASE_BOOSTED,
    TUNED_ARM,
    TUNED_BOOSTED,
    choose_arm,
    compare_all,
)
from tasks.stages.boosting_figures import JudgedScores
from tasks.stages.boosting_inputs import BoostingRows

ROWS = BoostingRows((), (), None, ("drug",), GuardrailPolicy(), ())


def candidate(missed: int, general_edits: int = 0) -> Candidate:
    """Figures of 20 choosing rows and 1,000 general words."""
    misses = tuple(1.0 if place < missed else 0.0 for place in range(20))
    terms = tuple(f"term {place}" for place in range(20))
    edits = tuple(1 if place < general_edits else 0 for place in range(100))
    return Candidate(0.0, misses, terms, edits, tuple([10] * 100))


@pytest.mark.parametrize(
    ("missed", "edits", "best"),
    [
        ((18, 10, 6, 2), (30, 30, 30, 30), TUNED_BOOSTED),
        ((18, 10, 6, 2), (30, 30, 30, 60), TUNED_ARM),
        ((18, 6, 6, 6), (30, 30, 30, 30), BASE_BOOSTED),
        ((18, 10, 6, 2), (30, 45, 45, 45), BASE_ARM),
    ],
)
def test_selection_rows_choose_the_least_effort_that_is_best(
    missed: tuple[int, ...], edits: tuple[int, ...], best: str
) -> None:
    """Of those that hold general English: the fewest misses, and of equal ones the least effort."""
    tried = {arm: candidate(*pair) for arm, *pair in zip(ARMS, missed, edits, strict=True)}
    assert choose_arm(tried, ROWS)[0] == best


def test_without_selection_rows_the_tuned_model_was_stated() -> None:
    """Nothing is chosen by rows that judge."""
    arm, reason = choose_arm(dict.fromkeys(ARMS), ROWS)
    assert arm == TUNED_ARM
    assert "Too few" in reason


def scores(found: int) -> JudgedScores:
    """Twenty held-out rows, each with its term, of which the first are found."""
    rows = [
        Hypothesis(
            f"{place}.wav",
            f"give term{place} now",
            f"give term{place} now" if place < found else "give it now",
            f"term{place}",
            "drug",
            part=Partition.HELD_OUT,
        )
        for place in range(20)
    ]
    return JudgedScores(score(rows), Scores(()))


def test_pairs_are_corrected_together() -> None:
    """A p-value of a pair alone is smaller than that of six pairs."""
    made = compare_all(dict(zip(ARMS, map(scores, (2, 9, 10, 18)), strict=True)), ["drug"])
    by_pair = {(one.before, one.after): one for one in made}
    assert len(by_pair) == 6
    assert by_pair[BASE_ARM, TUNED_BOOSTED].shown
    assert by_pair[BASE_BOOSTED, TUNED_BOOSTED].shown
    assert not by_pair[BASE_BOOSTED, TUNED_ARM].shown
    for one in made:
        assert one.change.p is not None
        assert one.p_adjusted >= one.change.p
    assert by_pair[BASE_ARM, BASE_BOOSTED].p_adjusted > (
        by_pair[BASE_ARM, BASE_BOOSTED].change.p or 1.0
    )
