"""Words in recordings without speech: counted, paired, and a ground where chance is none."""

from __future__ import annotations

import pytest
import scipy.stats

from tasks.decision.nonspeech_check import check_nonspeech

TERMS = ("Metformin", "x-ray")


def test_words_and_terms_are_counted() -> None:
    """A text of signs alone holds no word; a term counts as a whole word only."""
    found = check_nonspeech(
        ["", " . ", "uh", "metformin", ""],
        ["uh", "", "uh", "metformins", "take metformin"],
        TERMS,
    )
    assert (found.words.before, found.words.after) == (2, 5)
    assert (found.words.recordings_before, found.words.recordings_after) == (2, 4)
    assert (found.terms.before, found.terms.after) == (1, 1)
    assert found.found == ("metformin",)
    assert found.harm is None


def test_five_new_ones_are_more_than_chance() -> None:
    """All changed recordings are new: mid-p is .0625 of four, .031 of five, .016 of six."""
    for new, harm in ((4, False), (5, True), (6, True)):
        found = check_nonspeech([""] * 60, ["oh"] * new + [""] * (60 - new), TERMS)
        assert (found.harm is not None) is harm
        binomial = scipy.stats.binom(new, 0.5)
        assert found.words.p == pytest.approx(2 * (binomial.cdf(0) - 0.5 * binomial.pmf(0)))


def test_a_base_that_finds_words_everywhere_can_still_get_worse() -> None:
    """The recordings that hold a word are as many as before; the words are not."""
    found = check_nonspeech(["uh"] * 60, ["uh uh"] * 12 + ["uh"] * 48, TERMS)
    assert found.words.recordings_before == found.words.recordings_after == 60
    assert found.harm is not None
    assert "60 → 72" in found.harm


def test_a_fall_is_no_harm() -> None:
    """Nor is a change that goes both ways, nor one recording that is full of words."""
    assert check_nonspeech(["oh"] * 9 + [""] * 51, [""] * 60, TERMS).harm is None
    texts = ["oh"] * 9 + [""] * 51
    assert check_nonspeech(texts, texts[::-1], TERMS).harm is None
    assert check_nonspeech([""] * 60, ["oh " * 99] + [""] * 59, TERMS).harm is None


def test_terms_are_the_ground_that_is_named() -> None:
    """With how many, and which."""
    spelled = ["the x-ray"] * 4 + ["the x ray"] * 3
    found = check_nonspeech([""] * 60, [*spelled, *[""] * 53], TERMS)
    assert found.harm is not None
    assert "0 → 7 in 60 recordings" in found.harm
    assert "such as x-ray" in found.harm
    assert found.as_dict()["harm"] == found.harm
    assert str(found) == (
        "Silence and noise (60 recordings): 0 → 17 words found, 0 → 7 of them terms."
    )


def test_both_models_hear_the_same_recordings() -> None:
    """Else nothing can be paired."""
    with pytest.raises(ValueError, match="no recording"):
        check_nonspeech([], [], TERMS)
    with pytest.raises(ValueError, match="argument"):
        check_nonspeech([""], ["", ""], TERMS)
