"""General English in long recordings: what is lost there discards, what may be lost is not kept."""

from __future__ import annotations

import pytest

from tasks.decision.guardrail import GuardrailPolicy
from tasks.decision.joined_check import JoinedTexts, check_joined, errors_by_sentence

SENTENCES = tuple(f"we walked along the river on day number {word}" for word in "abcdefghij" * 3)
MANY = SENTENCES * 2
POLICY = GuardrailPolicy()


def recording(
    seconds: int, after: str, before: str | None = None, sentences: tuple[str, ...] = SENTENCES
) -> JoinedTexts:
    """A recording that the base hears without an error, unless said otherwise."""
    said = " ".join(sentences)
    return JoinedTexts(seconds, sentences, said if before is None else before, after)


def test_a_model_that_stops_early_is_discarded() -> None:
    """At 120 s the second half is missing; 30 s are as before."""
    half = recording(120, " ".join(MANY[:30]), sentences=MANY)
    found = check_joined([recording(30, " ".join(SENTENCES)), half], POLICY)
    assert [change.status.value for change in found.lengths] == ["held", "broken"]
    assert found.harm is not None
    assert "loses long recordings" in found.harm
    assert "120 s: 0.000 → 0.500 on 1 recording, 60 sentences (+50.00 points" in found.harm
    assert "30 s: " not in found.harm


def test_a_rise_that_chance_may_explain_is_no_harm_but_not_kept() -> None:
    """One sentence of thirty is lost: 3.3 points, over the limit, and one sentence is chance."""
    found = check_joined([recording(60, " ".join(SENTENCES[:-1]))], POLICY)
    assert found.harm is None
    assert found.doubt is not None
    assert "all lengths: 0.000 → 0.033" in found.doubt


def test_a_rise_that_is_no_chance_but_may_be_within_the_limit_is_no_harm() -> None:
    """Fifteen words, spread over 540, are 2.8 points: surely over 0, and perhaps under 2."""
    lost_in_four = (0, 2, 1, 1, 1) * 3
    scattered = " ".join(
        sentence.removeprefix("we ") if place % 4 < lost_in_four[place // 4] else sentence
        for place, sentence in enumerate(MANY)
    )
    found = check_joined([recording(60, scattered, sentences=MANY)], POLICY)
    (change,) = found.lengths
    assert change.rise > change.limit
    assert change.interval is not None
    assert change.interval.low > 0
    assert (change.status.value, found.harm) == ("unclear", None)


def test_one_lost_stretch_is_one_event() -> None:
    """Ten sentences in a row, of 60, are three blocks; ten apart are ten, and are shown."""
    stretch = " ".join(MANY[:20] + MANY[30:])
    apart = " ".join(sentence for place, sentence in enumerate(MANY) if place % 6)
    together, scattered = (
        check_joined([recording(60, text, sentences=MANY)], POLICY) for text in (stretch, apart)
    )
    assert together.lengths[0].after == scattered.lengths[0].after
    assert (together.harm is None, scattered.harm is None) == (True, False)


def test_a_single_length_is_unclear_and_the_whole_held() -> None:
    """A doubt over few sentences of one length refuses nothing, if all lengths together hold."""
    said = " ".join(SENTENCES)
    less = " ".join(SENTENCES[:-1])
    found = check_joined([recording(30, said), recording(60, said), recording(120, less)], POLICY)
    assert [change.status.value for change in found.lengths] == ["held", "held", "unclear"]
    assert found.together is not None
    assert found.together.status.value == "held"
    assert (found.harm, found.doubt) == (None, None)


@pytest.mark.parametrize(("lost", "held"), [(5, True), (6, False)])
def test_the_limit_is_two_points_or_the_guardrails(lost: int, *, held: bool) -> None:
    """Of 270 words 5 are 1.9 points and 6 are 2.2; a guardrail of three points allows both."""
    words = " ".join(SENTENCES).split()
    found = check_joined([recording(30, " ".join(words[:-lost]))], POLICY)
    assert (found.lengths[0].status.value == "held") is held
    wider = check_joined([recording(30, " ".join(words[:-lost]))], GuardrailPolicy.of_points(3.0))
    assert wider.lengths[0].status.value == "held"


def test_another_spelling_is_no_error_and_a_gain_no_harm() -> None:
    """The canonical view counts; a base that heard nothing can only gain."""
    said = ("he took twenty five drops",) * 6
    same = JoinedTexts(30, said, " ".join(said), " ".join(("he took 25 drops",) * 6))
    assert check_joined([same], POLICY).lengths[0].after == 0
    gain = check_joined([recording(30, " ".join(SENTENCES), before="")], POLICY)
    assert (gain.harm, gain.doubt) == (None, None)


def test_the_edits_of_the_sentences_add_up_to_the_recordings() -> None:
    """A word put in counts for the sentence after it, at the very end for the last."""
    found = errors_by_sentence(("a b c", "d e", "f"), "a x c y d e f z z")
    assert found == [(1, 3), (1, 2), (2, 1)]
    assert errors_by_sentence(("a b c", "d e"), "") == [(3, 3), (2, 2)]


def test_a_set_that_is_too_small_says_so() -> None:
    """Nothing is shown, and nothing is refused."""
    found = check_joined([], POLICY)
    assert "too few sentences" in str(found)
    assert (found.harm, found.doubt) == (None, None)
    assert found.as_dict()["lengths"] == []
