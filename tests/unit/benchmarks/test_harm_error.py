"""What the simulation of harm leaves out is what the product's checks hold."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import decision_by_shares, harm_error, simulated_harm, simulated_term_harm
from benchmarks.simulated_term_harm import DrawnRows
from tasks.data.joined_sentences import ROWS_ON_CPU, ROWS_ON_GPU
from tasks.decision.joined_check import compare_lengths


def test_a_study_without_intervals_is_one_that_holds() -> None:
    """Errors over no limit are held by the product's check, at each length and in all."""
    rng = np.random.default_rng(5)
    over = []
    for _ in range(12):
        words = rng.integers(3, 14, 40)
        errors = {
            seconds: [
                (int(base), int(said), int(tuned), int(said))
                for said, base, tuned in zip(
                    words, rng.binomial(words, 0.1), rng.binomial(words, 0.11), strict=True
                )
            ]
            for seconds in ROWS_ON_CPU
        }
        check = compare_lengths(errors, ROWS_ON_CPU, simulated_harm.POLICY)
        assert check.together is not None
        held = {change.status.value for change in (*check.lengths, check.together)} == {"held"}
        assert simulated_harm.is_over_a_limit(errors) is not held
        over.append(not held)
    assert set(over) == {True, False}


def test_harm_is_drawn_as_harm() -> None:
    """A model that stops early, finds words everywhere and writes bare text is discarded."""
    rng = np.random.default_rng(6)
    long = {"wer": 0.1, "lost": 0.0, "alone": 0.0, "rise": 0.0}
    machine = ROWS_ON_GPU
    assert simulated_harm.long_recordings(rng, machine, **long, stops=15.0) == (True, True)
    assert simulated_harm.long_recordings(rng, machine, **long) == (False, False)
    assert simulated_harm.without_speech(rng, 0.05, 0.0, rise=9.0) == (True, True)
    assert simulated_harm.writing(rng, 60, 0.5) == (True, True)
    line = ("nonspeech", "as it is", lambda _: (False, True))
    drawn = harm_error.simulate(line, 3, harmful=False)
    assert (drawn.discarded, drawn.not_kept, drawn.harmful) == (0, 1, False)


def test_lost_rows_and_shouted_terms_are_discarded() -> None:
    """And what nothing changed is not."""
    rng = np.random.default_rng(7)
    for decodes in (1, 8):
        drawn = ("useless, nothing changed", DrawnRows(500, 0.2, decodes=decodes))
        assert simulated_term_harm.by_category(rng, *drawn, lost=0.9) == (True, True)
        assert simulated_term_harm.by_category(rng, *drawn) == (False, False)
        shouted = simulated_term_harm.false_keywords(rng, *drawn, 0.01, shouted=0.9)
        assert shouted == (True, True)
        quiet = simulated_term_harm.false_keywords(rng, *drawn, 0.01)
        assert quiet == (False, False)


@pytest.mark.parametrize("rate", harm_error.FALSE_RATES)
def test_false_keywords_are_drawn_at_their_rate_and_correlation(rate: float) -> None:
    """Two decodes of a row agree as the demo's misses do, by either model."""
    rng = np.random.default_rng(8)
    chances = simulated_term_harm.false_chances(rng, "useless, term by term", 40_000, rate)
    for side in chances:
        first, second = (rng.random((2, len(side))) < side).astype(float)
        assert first.mean() == pytest.approx(rate, abs=0.01)
        correlation = np.corrcoef(first, second)[0, 1]
        assert correlation == pytest.approx(decision_by_shares.CORRELATION, abs=0.05)
