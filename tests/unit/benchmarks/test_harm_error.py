"""What the simulation of harm leaves out is what the product's checks hold."""

from __future__ import annotations

import numpy as np

from benchmarks import harm_error
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
        check = compare_lengths(errors, ROWS_ON_CPU, harm_error.POLICY)
        assert check.together is not None
        held = {change.status.value for change in (*check.lengths, check.together)} == {"held"}
        assert harm_error.is_over_a_limit(errors) is not held
        over.append(not held)
    assert set(over) == {True, False}


def test_harm_is_drawn_as_harm() -> None:
    """A model that stops early, finds words everywhere and writes bare text is discarded."""
    rng = np.random.default_rng(6)
    long = {"wer": 0.1, "lost": 0.0, "alone": 0.0, "rise": 0.0}
    machine = ROWS_ON_GPU
    assert harm_error.long_recordings(rng, machine, **long, stops=15.0) == (True, True)
    assert harm_error.long_recordings(rng, machine, **long) == (False, False)
    assert harm_error.without_speech(rng, 0.05, 0.0, rise=9.0) == (True, True)
    assert harm_error.writing(rng, 60, 0.5) == (True, True)
    line = ("nonspeech", "as it is", lambda _: (False, True))
    drawn = harm_error.simulate(line, 3, harmful=False)
    assert (drawn.discarded, drawn.not_kept, drawn.harmful) == (0, 1, False)
