"""The simulated rule is the product's."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import decision_by_shares
from tasks.decision.decision_table import Verdict
from tasks.decision.verdict import decide
from tasks.decision.verdict_rules import DecisionEvidence
from tasks.evaluation.keyword_change import PairedOccurrence, summarise_changes
from tests.support import factories


@pytest.mark.parametrize("decodes", [1, 4])
def test_a_model_is_kept_where_the_verdict_says_so(decodes: int) -> None:
    """On drawn rows of two categories, gaining and useless."""
    rng = np.random.default_rng(3)
    kept = []
    for drop in (0.0, 0.7) * 6:
        changes = {}
        for category in ("drug", "lab"):
            missed = rng.integers(0, decodes + 1, 24)
            after = np.where(rng.random(24) < drop, 0, missed)
            pairs = zip(missed.tolist(), after.tolist(), strict=True)
            changes[category] = summarise_changes(
                category,
                [
                    PairedOccurrence(n, n // 2, None, b, a, decodes)
                    if decodes > 1
                    else PairedOccurrence(n, n // 2, None, bool(b), bool(a))
                    for n, (b, a) in enumerate(pairs)
                ],
            )
        evidence = DecisionEvidence(changes, "held-out", guardrail=factories.held_guardrail())
        made = decide(evidence, list(changes)).verdict is Verdict.KEEP
        assert decision_by_shares.kept(changes) is made
        kept.append(made)
    assert set(kept) == {True, False}


def test_rows_are_drawn_with_the_correlation_that_is_asked_for() -> None:
    """Between two decodes of a row, terms included."""
    rng = np.random.default_rng(4)
    difficulty = decision_by_shares.draw_terms(rng, 40_000)
    chances = decision_by_shares.draw_rows(rng, difficulty, 0.7)
    first, second = (rng.random(40_000) < chances for _ in range(2))
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.7, abs=0.02)


def test_an_upper_limit_is_clopper_and_pearsons() -> None:
    """None of 2,000: three in two thousand, by the rule of three."""
    none = decision_by_shares.Cell("useless", 20, False, 1, 8, 0, 2000)
    assert none.upper == pytest.approx(3 / 2000, rel=0.01)
    assert decision_by_shares.Cell("gain", 20, False, 1, 8, 2000, 2000).upper == 1
