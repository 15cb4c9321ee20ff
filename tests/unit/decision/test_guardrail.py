"""The guardrail: general English before and after, against a limit that stood before."""

from __future__ import annotations

import pytest

from tasks.decision.guardrail import Guardrail, GuardrailPolicy, GuardrailStatus, check_guardrail
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.scoring import Scores, score
from tasks.evaluation.statistics import Interval

SENTENCE = "the river runs dry in the long summer again"


def general(wrong: int, n: int = 100) -> Scores:
    """Sentences of nine words, of which the first ``wrong`` have one word wrong."""
    return score(
        Hypothesis(
            f"{place}.wav", SENTENCE, SENTENCE.replace("dry", "x" if place < wrong else "dry")
        )
        for place in range(n)
    )


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (9, 9, GuardrailStatus.HELD),
        (9, 4, GuardrailStatus.HELD),
        # 4 of 900 words are 0.44 points, 5 are 0.56.
        (9, 13, GuardrailStatus.HELD),
        (9, 14, GuardrailStatus.BROKEN),
        (9, 60, GuardrailStatus.BROKEN),
    ],
)
def test_a_rise_of_half_a_point_is_the_limit(
    before: int, after: int, status: GuardrailStatus
) -> None:
    """In the pooled WER, of a base that is good."""
    found = check_guardrail(general(before), general(after), GuardrailPolicy())
    assert found.status is status
    assert found.before == pytest.approx(before / 900)
    assert found.rise == pytest.approx((after - before) / 900)
    assert found.limit == 0.005


def test_a_rise_that_chance_explains_is_unclear() -> None:
    """Ten sentences cannot show it, and the number that could is named."""
    before = [SENTENCE.replace("dry", "x")] * 3 + [SENTENCE] * 7
    after = [SENTENCE] * 2 + [SENTENCE.replace("dry", "x")] * 4 + [SENTENCE] * 4
    one, two = (
        score(Hypothesis(f"{n}.wav", SENTENCE, hyp) for n, hyp in enumerate(hyps))
        for hyps in (before, after)
    )
    found = check_guardrail(one, two, GuardrailPolicy())
    assert found.status is GuardrailStatus.UNCLEAR
    assert found.interval is not None
    assert found.interval.low < 0 < found.interval.high
    assert found.sentences_needed is not None
    assert found.sentences_needed > 10


def test_a_weak_base_has_a_relative_limit() -> None:
    """Above 10 % WER, five percent of it."""
    policy = GuardrailPolicy()
    assert policy.limit(0.10) == 0.005
    assert policy.limit(0.40) == pytest.approx(0.02)


def test_the_guardrail_tells_its_figures() -> None:
    """Pooled and mean WER under their own names, the interval and the limit."""
    found = check_guardrail(general(9), general(60), GuardrailPolicy())
    told = found.as_dict()
    assert told["status"] == "broken"
    assert told["n"] == 100
    assert told["pooled_wer_a"] == pytest.approx(0.01)
    assert told["wer_b"] == pytest.approx(60 / 900)
    assert told["limit"] == 0.005
    assert "WER 0.010 → 0.067 on 100 sentences (+5.67 points" in str(found)


def test_records_that_make_no_sense_are_refused() -> None:
    """No sentence, other sentences, a negative limit."""
    with pytest.raises(ValueError, match="needs a sentence"):
        Guardrail(0, 0, 0, 0, 0, Interval(0, 0), 0.005)
    with pytest.raises(ValueError, match="same sentences"):
        check_guardrail(general(1, 5), general(1, 6), GuardrailPolicy())
    with pytest.raises(ValueError, match="negative"):
        GuardrailPolicy(absolute=-0.1)
