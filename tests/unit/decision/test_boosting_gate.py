"""The gate's answer on boosting, beside its own."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.decision.boosting_gate import BoostingOutcome, answer_on_boosting


def result(rate: float, upper: float, status: str | None = "held") -> dict[str, Any]:
    """The part of boost.json that the gate reads."""
    figures = {
        "ker": {"drug": {"rate": rate, "ci": [0.0, upper]}},
        "general": None if status is None else {"status": status},
    }
    return {
        "base": "embedded",
        "list": "formulary, 60 phrases",
        "strength": 0.5,
        "boosted": {"judged list": figures},
    }


@pytest.mark.parametrize(
    ("figures", "outcome", "route"),
    [
        ((0.1, 0.3), BoostingOutcome.ENOUGH, "/finetune-asr"),
        ((0.1, 0.31), BoostingOutcome.MAY_BE_ENOUGH, "/finetune-asr"),
        ((0.1, 0.3, "unclear"), BoostingOutcome.MAY_BE_ENOUGH, "/finetune-asr"),
        ((0.1, 0.3, None), BoostingOutcome.MAY_BE_ENOUGH, "/finetune-asr"),
        ((0.31, 0.5), BoostingOutcome.NOT_ENOUGH, ""),
    ],
)
def test_interval_and_guardrail_decide(
    figures: tuple[Any, ...], outcome: BoostingOutcome, route: str
) -> None:
    """Enough where the interval's upper end is under the threshold and the guardrail held."""
    answer = answer_on_boosting(result(*figures), "embedded", ["drug"], 0.3)
    assert answer is not None
    assert answer.outcome is outcome
    assert answer.route == route
    assert "formulary, 60 phrases, strength 0.5" in answer.message


def test_another_base_or_category_is_no_answer() -> None:
    """What was measured on something else says nothing here."""
    assert answer_on_boosting(result(0.1, 0.2), "other", ["drug"], 0.3) is None
    assert answer_on_boosting(result(0.1, 0.2), "embedded", ["lab"], 0.3) is None
