"""Words in recordings without speech: counted, paired, and a ground where chance is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import scipy.stats

from tasks.decision import nonspeech_check

if TYPE_CHECKING:
    from tasks.decision.nonspeech_check import NonspeechCheck


TERMS = ("Metformin", "x-ray")
SIX_KINDS = [kind for kind in "abcdef" for _ in range(10)]


def check_nonspeech(
    before: list[str],
    after: list[str],
    terms: tuple[str, ...] = TERMS,
    kinds: list[str] | None = None,
) -> NonspeechCheck:
    """The check, of recordings of one kind unless said otherwise."""
    return nonspeech_check.check_nonspeech(before, after, terms, kinds or ["hiss"] * len(before))


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


@pytest.mark.parametrize("kinds", [6, 5])
def test_a_rise_in_all_kinds_is_harm(kinds: int) -> None:
    """Four more in each of five kinds or of all six."""
    texts = (["oh"] * 4 + [""] * 6) * kinds + [""] * 10 * (6 - kinds)
    assert check_nonspeech([""] * 60, texts, (), SIX_KINDS).harm is not None


def test_kinds_that_change_both_ways_are_chance() -> None:
    """Over recordings 40 to 20 would be shown; over kinds, four up and two down are chance."""
    up, down = ([""] * 10, ["oh"] * 10), (["oh"] * 10, [""] * 10)
    before, after = (
        [text for kind in (up, up, down, up, down, up) for text in kind[side]] for side in (0, 1)
    )
    found = check_nonspeech(before, after, (), SIX_KINDS)
    assert found.words.after > found.words.before
    assert found.harm is None
    assert check_nonspeech(before, after, ()).harm is not None
    # One kind alone that is full of words is shown, since no other kind says anything.
    assert check_nonspeech([""] * 60, ["oh"] * 10 + [""] * 50, (), SIX_KINDS).harm is not None


def test_words_and_terms_are_no_two_chances() -> None:
    """Five new recordings are shown where no term is found; with one term, both are corrected."""
    found = check_nonspeech([""] * 60, ["oh"] * 5 + [""] * 55)
    assert found.words.p == pytest.approx(0.03125)
    both = check_nonspeech([""] * 60, ["oh metformin"] + ["oh"] * 4 + [""] * 55)
    assert both.words.p == pytest.approx(0.0625)
    assert (found.harm is None, both.harm is None) == (False, True)


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
    with pytest.raises(ValueError, match="argument"):
        check_nonspeech([""] * 2, [""] * 2, TERMS, ["hum"])
