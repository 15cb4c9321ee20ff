"""The gate by pronunciation: a dictionary's rows against guessed ones, before all else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common import neighbour_stages
from tasks.decision.gate import Action
from tasks.evaluation.scoring import Scores, score
from tests.support import factories
from tests.support.gate_cases import judge, refused

if TYPE_CHECKING:
    from tasks.evaluation.scoring import Scores


def pronunciation(known: tuple[int, int], guessed: tuple[int, int]) -> Scores:
    """A baseline with rows of both pronunciation sources."""
    return score(
        factories.evaluated(*known, ipa_source="merriam-webster")
        + factories.evaluated(*guessed, ipa_source="magpie_g2p", start=known[1])
    )


def test_the_contracts_pronunciation_gap_goes_to_build_before_all_else() -> None:
    """KER 0.05 on 420 merriam-webster rows against 0.41 on 180 magpie_g2p rows: step 2d."""
    result = judge(pronunciation((21, 420), (74, 180)))
    assert not result.passed
    assert (result.action, result.route) == (Action.FIX_PRONUNCIATION, neighbour_stages.BUILD)
    message = result.reasons[0].message
    assert "step 2d" in message
    assert "0.050, n=420" in message
    assert "0.411, n=180" in message


def test_a_pronunciation_gap_stops_what_would_else_be_tuned() -> None:
    """Even where the KER of all drug rows is above 0.3."""
    result = judge(pronunciation((5, 100), (90, 100)))
    assert refused(result, Action.FIX_PRONUNCIATION, neighbour_stages.BUILD)


@pytest.mark.parametrize(
    ("known", "guessed", "gap"),
    [
        ((10, 100), (70, 100), True),
        ((11, 100), (70, 100), False),
        ((1, 100), (31, 100), True),
        ((1, 100), (30, 100), False),
        ((60, 100), (60, 100), False),
        ((70, 100), (1, 100), False),
        ((0, 100), (0, 0), False),
    ],
)
def test_the_gap_needs_a_good_dictionary_and_bad_guesses(
    known: tuple[int, int], guessed: tuple[int, int], *, gap: bool
) -> None:
    """Good is at most 0.1, bad is above 0.3."""
    result = judge(pronunciation(known, guessed))
    actions = [reason.action for reason in result.reasons]
    assert (Action.FIX_PRONUNCIATION in actions) is gap
