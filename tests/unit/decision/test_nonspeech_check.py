"""Words in recordings without speech: counted, paired, and a ground where chance is none."""

from __future__ import annotations

import pytest
import scipy.stats

from tasks.decision.nonspeech_check import NonspeechCheck, check_nonspeech

TERMS = ("Metformin", "x-ray")


def test_words_and_terms_are_counted_by_recording() -> None:
    """A text of signs alone holds no word; a term counts as a whole word only."""
    found = check_nonspeech(
        ["", " . ", "uh", "metformin", ""],
        ["uh", "", "uh", "metformins", "take metformin"],
        TERMS,
    )
    assert (found.with_words_before, found.with_words_after) == (2, 4)
    assert (found.with_terms_before, found.with_terms_after) == (1, 1)
    assert found.terms == ("metformin",)
    assert found.harms == ()


def test_six_new_ones_are_more_than_chance() -> None:
    """All changed recordings are new: mid-p is .0625 of four, .031 of five, .016 of six."""
    for new, harm in ((4, False), (5, True), (6, True)):
        found = check_nonspeech([""] * 60, ["oh"] * new + [""] * (60 - new), TERMS)
        assert bool(found.harms) is harm
        binomial = scipy.stats.binom(new, 0.5)
        expected = 2 * (binomial.cdf(0) - 0.5 * binomial.pmf(0))
        assert found.p_words == pytest.approx(expected)


def test_a_fall_is_no_harm() -> None:
    """Nor is a change that goes both ways."""
    assert not check_nonspeech(["oh"] * 9 + [""] * 51, [""] * 60, TERMS).harms
    texts = ["oh"] * 9 + [""] * 51
    assert not check_nonspeech(texts, texts[::-1], TERMS).harms


def test_terms_are_the_ground_that_is_named() -> None:
    """With how many, and which."""
    found = check_nonspeech([""] * 60, ["the x-ray"] * 7 + [""] * 53, TERMS)
    (ground,) = found.harms
    assert "0 → 7 of 60" in ground
    assert "such as x-ray" in ground
    assert found.as_dict()["harm"] is True
    assert str(found) == ("Silence and noise: words in 0 → 7 of 60 recordings, terms in 0 → 7.")


def test_counts_must_fit() -> None:
    """A record that contradicts itself cannot be made."""
    with pytest.raises(ValueError, match="between 0 and all"):
        NonspeechCheck(5, 6, 0, 0, 0, 1.0, 1.0)
